#!/usr/bin/env bash
# up.sh [NODES=3] [nftables|iptables] [routes|vxlan]: boots a kubeadm cluster of NODES (1 to 20) real nodes, each in its own
# namespaces on this machine. Nothing is pulled. Afterwards $CF/admin.conf works from the host. End it with down.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
NODES=${1:-3} PROXY=${2:-nftables} NET=${3:-routes}
[[ $NODES =~ ^[0-9]+$ && $NODES -ge 1 && $NODES -le 20 ]] || die "NODES is 1 to 20"
[[ $PROXY =~ ^(nftables|iptables)$ && $NET =~ ^(routes|vxlan)$ ]] || die "usage: up.sh [NODES] [nftables|iptables] [routes|vxlan]"
[ "$(id -u)" = 0 ] || die "needs root"
[ ! -e /run/netns/cf ] || die "a cluster is already up: run down.sh first"
[ -x "$BIN/kubelet" ] || die "no binaries in $BIN: run build.sh first"
[ -s "$IMG/kube-proxy.tar" ] || "$KIT/images.sh"
mkdir -p "$NODEDIR" "$LAN"

# kubelet and kube-proxy set machine-wide sysctls: remember the values for down.sh.
[ -f "$CF/sysctl.saved" ] || sysctl -e fs.inotify.max_user_instances fs.inotify.max_user_watches vm.overcommit_memory kernel.panic \
  kernel.panic_on_oops kernel.keys.root_maxkeys kernel.keys.root_maxbytes net.netfilter.nf_conntrack_max > "$CF/sysctl.saved"
sysctl -qw fs.inotify.max_user_instances=4096 fs.inotify.max_user_watches=1048576

# The LAN: a bridge in netns cf; the host joins it by the interface cf-host.
ip netns add cf; ip -n cf link set lo up
ip -n cf link add br0 type bridge; ip -n cf addr add $SUBNET.1/24 dev br0; ip -n cf link set br0 up
lan sysctl -qw net.ipv4.ip_forward=1
ip link add cf-host type veth peer name cfv0 netns cf
ip -n cf link set cfv0 master br0 up; ip addr add $SUBNET.2/24 dev cf-host; ip link set cf-host up

# On it, outside the cluster: an upstream DNS server and a web server, outside.example.com.
cat > "$LAN/Corefile" <<K
.:53 {
  template IN A outside.example.com {
    answer "{{ .Name }} 60 IN A $SUBNET.1"
  }
  template ANY ANY {
    rcode NXDOMAIN
  }
  log
}
K
mkdir -p $CG/pids/cf/lan
lan_service() { local n=$1; shift; ( echo $BASHPID > $CG/pids/cf/lan/cgroup.procs; exec setsid ip netns exec cf "$@" ) > "$LAN/$n.log" 2>&1 < /dev/null & }
lan_service coredns coredns -conf "$LAN/Corefile"
lan_service outside nettool serve $SUBNET.1:8080

# start_node I: network namespace, cgroups, node.sh; returns when containerd listens
start_node() {
  local i=$1 n=$NODEDIR/n$1 c up inner t
  mkdir -p "$n"
  sed -e "s|@PAUSE@|$(grep /pause: "$IMG/names")|; s|@RUNC@|$(command -v runc)|" "$KIT/containerd.toml.in" > "$n/containerd.toml"
  ip netns add "cf-n$i"
  ip link add "cfv$i" netns cf type veth peer name eth0 netns "cf-n$i"; ip -n cf link set "cfv$i" master br0 up
  ip -n "cf-n$i" link set lo up; ip -n "cf-n$i" addr add "$(nodeip "$i")/24" dev eth0; ip -n "cf-n$i" link set eth0 up
  ip -n "cf-n$i" route add default via $SUBNET.1
  ip netns exec "cf-n$i" sysctl -qw net.ipv4.ip_forward=1
  make_cgroups "cf/n$i"
  # join the cgroups first, then make the cgroup namespace, so that they are its root
  ( for c in $CTLS; do echo $BASHPID > "$CG/$c/cf/n$i/cgroup.procs"; done
    exec setsid nsenter --net="/run/netns/cf-n$i" unshare -m -u -i -p -C --fork --kill-child=KILL "$KIT/node.sh" "$i" ) > "$n/node.log" 2>&1 < /dev/null &
  up=$!
  for t in $(seq 1 150); do
    inner=$(pgrep -P $up | head -1) || true
    if [ -n "$inner" ]; then
      echo "$inner" > "$n/pid"
      if nexec "$i" test -f /run/node-ready 2>/dev/null && nexec "$i" test -S /run/containerd/containerd.sock 2>/dev/null; then return 0; fi
    fi
    sleep .1
  done
  die "node $i did not start: see $n/node.log"
}
prepare_node() {
  local i=$1 t control=""
  start_node "$i"
  [ "$i" != 1 ] || control="etcd kube-apiserver kube-controller-manager kube-scheduler"
  for t in pause nettool coredns kube-proxy $control; do nexec "$i" ctr -n k8s.io images import --local "$IMG/$t.tar" > "$NODEDIR/n$i/import.log" 2>&1; done
}
jobs_of=()
for i in $(seq 1 "$NODES"); do prepare_node "$i" & jobs_of+=($!); done
for j in "${jobs_of[@]}"; do wait "$j"; done
lap "nodes up, images imported"

API_IP=$(nodeip 1) TOKEN=$(printf '%06x.%08x%08x' $((RANDOM * 512)) $((RANDOM * 65536 + RANDOM)) $((RANDOM * 65536 + RANDOM)))
cat > "$NODEDIR/n1/kubeadm.yaml" <<K
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $API_IP, bindPort: 6443}
nodeRegistration: {criSocket: "unix:///run/containerd/containerd.sock", name: cf-n1, taints: []}
bootstrapTokens: [{token: $TOKEN, ttl: 24h0m0s, usages: [signing, authentication], groups: ["system:bootstrappers:kubeadm:default-node-token"]}]
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
clusterName: lab
kubernetesVersion: $K8S_VERSION
imageRepository: $IMAGE_PREFIX
controlPlaneEndpoint: $API_IP:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16, dnsDomain: cluster.local}
etcd: {local: {extraArgs: [{name: unsafe-no-fsync, value: "true"}]}}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
evictionHard: {nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $PROXY
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
K
log=$NODEDIR/n1/kubeadm.log
nexec 1 kubeadm init --config "$NODEDIR/n1/kubeadm.yaml" --ignore-preflight-errors=all > "$log" 2>&1 || { tail -30 "$log"; die "kubeadm init failed"; }
cp "$NODEDIR/n1/etc/kubernetes/admin.conf" "$CF/admin.conf"
lap "kubeadm init"

jobs_of=()
for i in $(seq 2 "$NODES"); do
  nexec "$i" kubeadm join "$API_IP:6443" --token "$TOKEN" --discovery-token-unsafe-skip-ca-verification --node-name "cf-n$i" \
    --cri-socket unix:///run/containerd/containerd.sock --ignore-preflight-errors=all > "$NODEDIR/n$i/kubeadm.log" 2>&1 &
  jobs_of+=($!)
done
for j in ${jobs_of[@]+"${jobs_of[@]}"}; do wait "$j" || die "kubeadm join failed: see $NODEDIR/n*/kubeadm.log"; done
lap joined

# Pod network by hand: per node a bridge conflist with the node's podCIDR, and a route or vxlan entry per other node.
declare -A CIDR
for i in $(seq 1 "$NODES"); do
  for t in $(seq 1 150); do
    CIDR[$i]=$(k get node "cf-n$i" -o jsonpath='{.spec.podCIDR}' 2>/dev/null) || true
    [ -z "${CIDR[$i]}" ] || break; sleep .2
  done
  [ -n "${CIDR[$i]}" ] || die "node cf-n$i got no podCIDR"
  cat > "$NODEDIR/n$i/etc/cni/net.d/10-casefile.conflist" <<K
{"cniVersion":"1.0.0","name":"casefile","plugins":[
 {"type":"bridge","bridge":"cni0","isDefaultGateway":true,"hairpinMode":true,"mtu":${MTU:-1450},
  "ipam":{"type":"host-local","dataDir":"/run/cni-ipam","ranges":[[{"subnet":"${CIDR[$i]}"}]]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
K
  ip -n cf route replace "${CIDR[$i]}" via "$(nodeip "$i")"
  if [ "$NET" = vxlan ]; then
    ip -n "cf-n$i" link add flannel.1 type vxlan id 1 dev eth0 local "$(nodeip "$i")" dstport 8472 nolearning
    ip -n "cf-n$i" link set flannel.1 address "$(nodemac "$i")" up; ip -n "cf-n$i" addr add "${CIDR[$i]%/24}/32" dev flannel.1
  fi
done
for i in $(seq 1 "$NODES"); do
  for j in $(seq 1 "$NODES"); do
    [ "$i" != "$j" ] || continue
    if [ "$NET" = vxlan ]; then
      ip -n "cf-n$i" route replace "${CIDR[$j]}" via "${CIDR[$j]%/24}" dev flannel.1 onlink
      ip -n "cf-n$i" neigh replace "${CIDR[$j]%/24}" lladdr "$(nodemac "$j")" dev flannel.1
      bridge -n "cf-n$i" fdb append "$(nodemac "$j")" dev flannel.1 dst "$(nodeip "$j")"
    else
      ip -n "cf-n$i" route replace "${CIDR[$j]}" via "$(nodeip "$j")"
    fi
  done
done
k wait --for=condition=Ready node --all --timeout=120s > /dev/null; lap "nodes Ready"
k -n kube-system rollout status ds/kube-proxy --timeout=120s > /dev/null
k -n kube-system rollout status deploy/coredns --timeout=120s > /dev/null; lap "kube-proxy and CoreDNS ready"
echo "export KUBECONFIG=$CF/admin.conf"
