#!/usr/bin/env bash
# build.sh [COMPONENT...]: installs the Debian packages that are missing and builds what is not yet in $CF/bin.
# Components: apt k8s etcd containerd coredns images cosign (cosign, the verifier that seals are held against, takes minutes).
# The user's ordinary Go caches are used. FORCE=1 builds again.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mkdir -p "$BIN"
export CGO_ENABLED=0
PACKAGES="iproute2 util-linux procps nftables iptables conntrack ipset ethtool socat tcpdump busybox-static containernetworking-plugins runc openssl"

# have FILE...: all present in $CF/bin and no FORCE
have() { local f; [ -z "${FORCE:-}" ] || return 1; for f; do [ -x "$BIN/$f" ] || return 1; done; }
# gobuild MODULE LDFLAGS ARGS...: go build in go/MODULE into $CF/bin (or, with OUT=NAME, into the file $CF/bin/NAME)
gobuild() { local m=$1 ld=$2; shift 2; (cd "$KIT/go/$m" && go build -trimpath -buildvcs=false -ldflags "-s -w $ld" -o "$BIN/${OUT:-}" "$@"); }

apt_() {
  local p missing=""
  for p in $PACKAGES; do dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"; done
  [ -n "$missing" ] || return 0
  apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
}
k8s() {
  local names="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl kubeadm" x=k8s.io/component-base/version
  have $names || gobuild k8s "-X $x.gitVersion=$K8S_VERSION -X $x.gitMajor=1 -X $x.gitMinor=36 -X $x.gitTreeState=clean" \
    $(printf 'k8s.io/kubernetes/cmd/%s ' $names)
}
etcd() { have etcd || OUT=etcd gobuild etcd "" go.etcd.io/etcd/server/v3; }
containerd() {
  local names="containerd ctr containerd-shim-runc-v2"
  have $names || gobuild containerd "-X github.com/containerd/containerd/v2/version.Version=2.4.2" \
    -tags "no_btrfs no_devmapper no_zfs" $(printf 'github.com/containerd/containerd/v2/cmd/%s ' $names)
}
coredns() { have coredns || gobuild coredns "" .; }
cosign() { have cosign || gobuild cosign "" github.com/sigstore/cosign/v3/cmd/cosign; }
images() { have mkimage pause nettool || gobuild images "" ./mkimage ./pause ./nettool; }

[ $# -gt 0 ] || set -- apt k8s etcd containerd coredns images cosign
for c; do
  case $c in
    apt) apt_ ;;
    k8s | etcd | containerd | coredns | images | cosign) "$c" ;;
    *) die "no component $c" ;;
  esac
  lap "$c"
done
