#!/usr/bin/env bash
# app-on-loopback: a server that listens on 127.0.0.1 only: it has endpoints, yet every connection is refused
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() {
  demo
  apply <<K
apiVersion: v1
kind: Pod
metadata: {name: local, labels: {app: local}}
spec: {nodeName: cf-n$NODE, terminationGracePeriodSeconds: 1, containers: [{name: c, image: "$TOOL_IMAGE", args: [serve, "127.0.0.1:8080"]}]}
---
apiVersion: v1
kind: Service
metadata: {name: local}
spec: {selector: {app: local}, ports: [{port: 80, targetPort: 8080}]}
K
  ready local
}
show() { k -n "$NS" get endpointslices; from $NODE get "http://local.$NS/" 3s; in_pod "$NS" local ss -ltn; }
undo() { drop_ns; }
main "$@"
