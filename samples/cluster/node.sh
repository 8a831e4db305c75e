#!/usr/bin/env bash
# node.sh I: the body of node I. Started by up.sh as PID 1 of fresh pid, mount, uts, ipc and cgroup namespaces, in netns cf-nI.
# Every path a tool looks at (/var/lib/kubelet, /etc/kubernetes, ...) is a bind mount of the node's own directory.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
I=$1 N=$NODEDIR/n$1
hostname "cf-n$I"
mount --make-rprivate /; mount --make-rshared /
mount -t proc proc /proc

# Own sysfs and own view of each cgroup v1 hierarchy, rooted at the node's cgroup.
umount -R -l /sys; mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755,size=1m cgroupfs $CG
for c in $CTLS; do
  mkdir -p $CG/$c
  if [ "$c" = systemd ]; then mount -t cgroup -o none,name=systemd cgroup $CG/$c; else mount -t cgroup -o "$c" cgroup $CG/$c; fi
done
mount -t bpf bpf /sys/fs/bpf 2>/dev/null || true

for d in /var/lib/kubelet /var/lib/containerd /var/lib/etcd /var/lib/cni /var/log /etc/kubernetes /etc/cni /opt/cni; do
  mkdir -p "$N$d" "$d"; mount --bind "$N$d" "$d"; mount --make-rshared "$d"
done
mkdir -p "$N/etc" /etc/cni/net.d /opt/cni/bin /var/log/pods
echo "nameserver $SUBNET.1" > "$N/etc/resolv.conf"; mount --bind "$N/etc/resolv.conf" "$(readlink -f /etc/resolv.conf)"
{ echo 127.0.0.1 localhost; for i in $(seq 1 20); do echo "$(nodeip "$i") cf-n$i"; done; } > "$N/etc/hosts"
mount --bind "$N/etc/hosts" /etc/hosts
[ -f "$N/etc/machine-id" ] || tr -d - < /proc/sys/kernel/random/uuid > "$N/etc/machine-id"
if [ -f /etc/machine-id ]; then mount --bind "$N/etc/machine-id" /etc/machine-id; fi
mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/containerd /run/netns /run/lock; mount --make-rshared /run
echo ready > /run/node-ready

# containerd and kubelet, started again whenever they end; kubelet only after kubeadm has written its configuration.
( while :; do containerd --config "$N/containerd.toml" >> /var/log/containerd.log 2>&1 || true; sleep 1; done ) &
( while :; do
    if [ -f /var/lib/kubelet/config.yaml ]; then
      KUBELET_KUBEADM_ARGS=""; [ ! -f /var/lib/kubelet/kubeadm-flags.env ] || . /var/lib/kubelet/kubeadm-flags.env
      boot=""; [ ! -f /etc/kubernetes/bootstrap-kubelet.conf ] || boot=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf
      rc=0; kubelet $boot --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml \
        --node-ip="$(nodeip "$I")" $KUBELET_KUBEADM_ARGS >> /var/log/kubelet.log 2>&1 || rc=$?
      echo "kubelet exited $rc" >> /var/log/kubelet.log
    fi; sleep 0.5
  done ) &
trap 'exit 0' TERM
while :; do wait -n 2>/dev/null || sleep 1; done   # reaps what containers leave behind
