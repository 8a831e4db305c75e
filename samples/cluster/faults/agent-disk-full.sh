#!/usr/bin/env bash
# agent-disk-full: the volume of Casefile's agent on node NODE grows beyond its limit, and the kubelet evicts the agent
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() {
  local d
  for d in $(nexec "$NODE" find /var/lib/kubelet/pods -name agent.sock); do nexec "$NODE" fallocate -l 1100M "$(dirname "$d")/fill"; done
}
show() { k get pods -A -l app.kubernetes.io/name=casefile-agent -o wide; }
undo() { :; }
main "$@"
