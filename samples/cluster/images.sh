#!/usr/bin/env bash
# images.sh: makes every image the cluster needs as tars in $CF/images, from local files only. FORCE=1 makes them again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mkdir -p "$IMG"
kubeadm config images list --image-repository "$IMAGE_PREFIX" --kubernetes-version "$K8S_VERSION" > "$IMG/names"
ref() { grep "/$1:" "$IMG/names"; }     # the full name kubeadm wants for a component
# image NAME REF ENTRYPOINT FILES...
image() {
  local n=$1 r=$2 e=$3; shift 3
  [ -s "$IMG/$n.tar" ] && [ -z "${FORCE:-}" ] && [ "$IMG/$n.tar" -nt "$BIN/${e##*/}" ] && return 0
  mkimage -o "$IMG/$n.tar.new" -t "$r" -entrypoint "$e" "$BIN/${e##*/}:$e" "$@"
  mv "$IMG/$n.tar.new" "$IMG/$n.tar"
}

image pause "$(ref pause)" /pause
for c in etcd kube-apiserver kube-controller-manager kube-scheduler; do image $c "$(ref $c)" /usr/local/bin/$c; done
image coredns "$(ref coredns)" /coredns

# The workload image: nettool and a busybox.
F="/bin/busybox:/bin/busybox"
for a in sh ls cat ps wget nc nslookup ping ip netstat sleep echo env id mount df top head tail grep touch dd kill \
  hostname vi awk sed sysctl true false test date find wc route seq; do F="$F /bin/$a->busybox"; done
image nettool "$TOOL_IMAGE" /bin/nettool $F

# kube-proxy calls nft and iptables: the machine's own, with every library they or any iptables extension need.
# (Without libm, for libxt_statistic, iptables mode says Ready and yet no ClusterIP answers.)
TOOLS="/usr/sbin/nft /usr/sbin/xtables-nft-multi /usr/sbin/conntrack /usr/sbin/ipset"
EXT=$(ls /usr/lib/x86_64-linux-gnu/xtables/*.so)
F=""
for f in $(for x in $EXT $TOOLS; do ldd "$x" | grep -o '/[^ ]*'; done | sort -u); do F="$F $(readlink -f "$f"):$f"; done
for f in $EXT $TOOLS; do F="$F $f:$f"; done
for a in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do F="$F /usr/sbin/$a->xtables-nft-multi"; done
image kube-proxy "$(ref kube-proxy)" /usr/local/bin/kube-proxy $F
lap images
