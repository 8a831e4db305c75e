# Sourced by every fault. A fault defines inject, show and undo and ends with: main "$@"
#   NODE   the node to hurt (default 2, or 1 in a cluster of one)
# inject makes the fault, show prints how it looks, undo takes it back; undo without inject does no harm.
. "$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/../lib.sh"
[ -f "$CF/admin.conf" ] || die "no cluster: run up.sh first"
FAULT=$(basename "$0" .sh)
NS=fault-$FAULT                    # a fault's own objects live in this namespace
DEMO=cf-demo                       # the healthy workload: a web server Pod per node, Service web
if [ -d "$NODEDIR/n2" ]; then NODE=${NODE:-2} PEER=${PEER:-1}; else NODE=${NODE:-1} PEER=${PEER:-1}; fi

demo() { "$KIT/workload.sh" up > /dev/null; }
# apply: the manifest on stdin, into the fault's namespace
apply() { k create namespace "$NS" --dry-run=client -o yaml | k apply -f - > /dev/null; k -n "$NS" apply -f -; }
drop_ns() { k delete namespace "$NS" --ignore-not-found --timeout=60s --request-timeout=70s; }
# web_on I: name, and web_ip I: address, of the demo Pod on node I
web_on() { k -n $DEMO get pod -l app=web --field-selector "spec.nodeName=cf-n$1" -o jsonpath='{.items[0].metadata.name}'; }
web_ip() { k -n $DEMO get pod -l app=web --field-selector "spec.nodeName=cf-n$1" -o jsonpath='{.items[0].status.podIP}'; }
# from I ARGS: nettool inside the demo Pod on node I; its failure is what a fault is meant to show
from() { local i=$1; shift; timeout 25 kubectl --kubeconfig "$CF/admin.conf" -n $DEMO exec "$(web_on "$i")" -- nettool "$@" 2>&1 | grep -v 'terminated with' || true; }
# in_pod NS POD CMD: CMD with the node's tools in a Pod's network namespace
in_pod() {
  local ns=$1 pod=$2 i ip n; shift 2
  read -r i ip < <(k -n "$ns" get pod "$pod" -o jsonpath='{.spec.nodeName} {.status.podIP}{"\n"}')
  i=${i#cf-n}
  for n in $(nexec "$i" ls /run/netns); do
    if nexec "$i" nsenter --net="/run/netns/$n" ip -4 -o addr show eth0 2>/dev/null | grep -qF " $ip/"; then
      nexec "$i" nsenter --net="/run/netns/$n" "$@"; return
    fi
  done
  die "no network namespace for $ns/$pod"
}
ready() { k -n "$NS" wait --for=condition=Ready pod "$@" --timeout=60s --request-timeout=70s > /dev/null; }
# wait_text TEXT CMD: until the output of CMD has TEXT in it (60 s)
wait_text() { local text=$1 t; shift; for t in $(seq 1 60); do if "$@" 2>/dev/null | grep -q -- "$text"; then return 0; fi; sleep 1; done; echo "(not seen within 60 s: $text)"; }
main() { case ${1:-} in inject | show | undo) "$1" ;; *) die "usage: $(basename "$0") inject|show|undo" ;; esac; }
