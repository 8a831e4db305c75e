#!/usr/bin/env bash
# cpu-throttle: a busy container with a limit of a tenth of a CPU
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() {
  apply <<K
apiVersion: v1
kind: Pod
metadata: {name: burn}
spec: {nodeName: cf-n$NODE, terminationGracePeriodSeconds: 1, containers: [{name: c, image: "$TOOL_IMAGE", args: [burn], resources: {limits: {cpu: 100m, memory: 32Mi}}}]}
K
  ready burn
}
show() { sleep 3; local uid; uid=$(k -n "$NS" get pod burn -o jsonpath='{.metadata.uid}'); cat $CG/cpu/cf/n$NODE/kubepods/*/pod"$uid"/cpu.stat $CG/cpu/cf/n$NODE/kubepods/pod"$uid"/cpu.stat 2>/dev/null || true; }
undo() { drop_ns; }
main "$@"
