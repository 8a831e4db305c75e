#!/usr/bin/env bash
# kubelet-killed: the kubelet of node NODE dies and is started again: every exec, log and port-forward through it is cut
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() { local p; for p in $(nexec "$NODE" pgrep -x kubelet); do nexec "$NODE" kill -KILL "$p"; done; }
show() { nexec "$NODE" pgrep -x kubelet || true; }
undo() { k wait --for=condition=Ready "node/cf-n$NODE" --timeout=60s --request-timeout=70s > /dev/null; }
main "$@"
