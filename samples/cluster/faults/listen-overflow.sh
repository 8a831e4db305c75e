#!/usr/bin/env bash
# listen-overflow: a server with a backlog of 1 that never accepts: later connections time out
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() {
  demo
  apply <<K
apiVersion: v1
kind: Pod
metadata: {name: full}
spec: {nodeName: cf-n$NODE, terminationGracePeriodSeconds: 1, containers: [{name: c, image: "$TOOL_IMAGE", args: [backlog, "9003"]}]}
K
  ready full
}
show() {
  from $PEER hold "$(k -n "$NS" get pod full -o jsonpath='{.status.podIP}'):9003" 5 1s
  in_pod "$NS" full ss -ltn sport = :9003; in_pod "$NS" full nstat -az TcpExtListenOverflows TcpExtListenDrops | tail -2
}
undo() { drop_ns; }
main "$@"
