#!/usr/bin/env bash
# workload.sh up|check|down: a small healthy workload on the real cluster (a web server Pod per node, Service and NodePort, and a
# privileged host-namespace Pod per node), and a check of Pod-to-Pod, ClusterIP, NodePort, cluster DNS and upstream DNS.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ -f "$CF/admin.conf" ] || die "no cluster: run up.sh first"
up() {
  k apply -f - <<K
apiVersion: v1
kind: Namespace
metadata: {name: cf-demo}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web, namespace: cf-demo}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: c, image: "$TOOL_IMAGE", args: [serve, ":8080"], ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: cf-demo}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080, nodePort: 30080}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: cf-demo}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      hostPID: true
      hostNetwork: true
      hostIPC: true
      dnsPolicy: ClusterFirstWithHostNet
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: "$TOOL_IMAGE"
        args: [sleep]
        securityContext: {privileged: true}
        volumeMounts: [{name: root, mountPath: /host, mountPropagation: HostToContainer}]
      volumes: [{name: root, hostPath: {path: /}}]
K
  local d
  for d in web agent; do k -n cf-demo rollout status ds/$d --timeout=90s --request-timeout=100s; done
}
check() {
  local i j pod ip bad=0
  try() { local what=$1; shift; if out=$(timeout 20 "$@" 2>&1); then echo "ok   $what: $out" | head -1; else echo "FAIL $what: $out"; bad=1; fi; }
  pod_on() { k -n cf-demo get pod -l app=web --field-selector "spec.nodeName=cf-n$1" -o jsonpath="{.items[0].$2}"; }
  for i in $(nodes); do
    pod=$(pod_on "$i" metadata.name)
    from() { try "n$i $1" kubectl --kubeconfig "$CF/admin.conf" -n cf-demo exec "$pod" -- nettool "${@:2}"; }
    for j in $(nodes); do ip=$(pod_on "$j" status.podIP); from "to the Pod on n$j" get "http://$ip:8080/" 5s; done
    from "to the Service" get http://web.cf-demo/ 5s
    from "to a host outside" get http://outside.example.com:8080/ 5s
    try "host to the NodePort of n$i" nettool get "http://$(nodeip "$i"):30080/" 5s
  done
  return $bad
}
down() { k delete namespace cf-demo --ignore-not-found --timeout=60s --request-timeout=70s; }
case ${1:-} in up | check | down) "$1" ;; *) die "usage: workload.sh up|check|down" ;; esac
