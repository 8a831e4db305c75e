#!/usr/bin/env bash
# kubelet-stopped: the kubelet of node NODE is frozen: NotReady after some 40 s
set -euo pipefail
. "$(dirname "$0")/common.sh"
signal() { local p; for p in $(nexec $NODE pgrep -x kubelet); do nexec $NODE kill "-$1" "$p"; done; }
inject() { signal STOP; }
show() { wait_text 'NotReady' k get node cf-n$NODE; k get nodes; }
undo() { signal CONT; k wait --for=condition=Ready node cf-n$NODE --timeout=60s --request-timeout=70s; }
main "$@"
