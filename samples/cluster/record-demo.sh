#!/usr/bin/env bash
# record-demo.sh: breaks a fresh cluster in several ways, collects from it, and keeps what `casefile demo` replays in
# ../bundles/demo: the objects and logs as a bundle, and each node's stream as it came from its agent.
# Needs a cluster (up.sh 3) with the agent's image loaded, and bin/casefile.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
export KUBECONFIG=$CF/admin.conf
CASEFILE=$KIT/../../bin/casefile OUT=$KIT/../bundles/demo
[ -x "$CASEFILE" ] || die "no bin/casefile: run make build"
FAULTS="service-no-endpoints crashloop app-on-loopback cpu-throttle listen-overflow packet-loss-20 mtu-blackhole"
tmp=$(mktemp -d)
traffic=""
cleanup() {
  [ -z "$traffic" ] || kill $traffic 2>/dev/null || true
  for f in $FAULTS; do "$KIT/faults/$f.sh" undo > /dev/null 2>&1 || true; done
  rm -rf "$tmp"
}
trap cleanup EXIT

"$KIT/workload.sh" up
for f in $FAULTS; do "$KIT/faults/$f.sh" inject; done
"$KIT/faults/crashloop.sh" show > /dev/null
pod=$(k -n cf-demo get pod -l app=web --field-selector spec.nodeName=cf-n2 -o jsonpath='{.items[0].metadata.name}')
for f in packet-loss-20 listen-overflow; do
  ( while :; do "$KIT/faults/$f.sh" show > /dev/null 2>&1 || true; done ) &
  traffic="$traffic $!"
done
rm -rf "$OUT"; mkdir -p "$OUT"
"$CASEFILE" collect --no-sign --yes -o "$tmp/all.tar.zst" --record-streams "$OUT" --sample-interval 5s \
  --capture "pod/cf-demo/$pod=tcp port 8080" --capture-duration 8s --snaplen 96
kill $traffic; traffic=""
"$CASEFILE" collect --no-sign --nodes none -o "$OUT/cluster.tar.zst"
ls -l "$OUT"
