#!/usr/bin/env bash
# agent-killed: what runs of Casefile's agent on node NODE is killed at once
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() { local p; for p in $(nexec "$NODE" pgrep -x casefile-agent); do nexec "$NODE" kill -KILL "$p" || true; done; }
show() { nexec "$NODE" pgrep -xa casefile-agent || true; }
undo() { :; }
main "$@"
