#!/usr/bin/env bash
# agent-deleted: the pod of Casefile's agent on node NODE is deleted, as an eviction does
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() { k -n kube-system delete pod --force --grace-period=0 -l app.kubernetes.io/name=casefile-agent --field-selector "spec.nodeName=cf-n$NODE"; }
show() { k get pods -A -l app.kubernetes.io/name=casefile-agent -o wide; }
undo() { :; }
main "$@"
