# Sourced by every script of the kit: settings and helpers.
KIT=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export CF=${CASEFILE_CLUSTER:-/var/tmp/casefile-cluster}     # everything that is built or run lives here
BIN=$CF/bin IMG=$CF/images NODEDIR=$CF/nodes LAN=$CF/lan API=$CF/api
K8S_VERSION=v1.36.3
IMAGE_PREFIX=cf.local                     # first part of every image's name; nothing is ever pulled
TOOL_IMAGE=$IMAGE_PREFIX/nettool:1
SUBNET=10.89.0                            # the nodes' LAN: .1 the LAN's own services, .2 the host, .11 and up the nodes
CTLS="cpu cpuacct cpuset memory devices freezer blkio pids systemd"   # cgroup v1 hierarchies
CG=/sys/fs/cgroup
export PATH=$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH

die() { echo "$(basename "$0"): $*" >&2; exit 1; }
nodeip() { echo "$SUBNET.$((10 + $1))"; }
nodemac() { printf '02:00:00:00:00:%02x\n' "$1"; }
START=${EPOCHREALTIME/./}
lap() { local us=$((${EPOCHREALTIME/./} - START)); printf '%4d.%ds %s\n' $((us / 1000000)) $((us % 1000000 / 100000)) "$*"; }

# k ARGS: kubectl on the real cluster, from the host
k() { kubectl --kubeconfig "$CF/admin.conf" --request-timeout=20s "$@"; }
# nexec I CMD: run a command inside node I, in all its namespaces
nexec() {
  local i=$1; shift
  nsenter -t "$(cat "$NODEDIR/n$i/pid")" -m -u -i -n -p -C -- env -i CF="$CF" HOME=/root \
    PATH="$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "$@"
}
# lan CMD: run a command on the nodes' LAN, outside any node
lan() { ip netns exec cf "$@"; }
# the numbers of the nodes that exist
nodes() { for d in "$NODEDIR"/n*/; do d=${d%/}; echo "${d##*/n}"; done | sort -n; }
# make_cgroups DIR: make the cgroup DIR below every v1 hierarchy
make_cgroups() {
  local c f d
  for c in $CTLS; do
    mkdir -p "$CG/$c/$1"
    if [ "$c" = cpuset ]; then
      for d in "${1%%/*}" "$1"; do for f in cpuset.cpus cpuset.mems; do cat "$CG/cpuset/$f" > "$CG/cpuset/$d/$f"; done; done
    fi
    if [ "$c" = memory ]; then echo 1 > "$CG/memory/$1/memory.use_hierarchy" 2>/dev/null || true; fi
  done
}
