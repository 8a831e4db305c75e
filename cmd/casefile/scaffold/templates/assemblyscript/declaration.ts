export const declaration = `{
  "abi": [1, 1], "name": "__NAME__", "version": "0.1.0", "doc": "Finds containers that were started over and over.",
  "rules": [{"id": "__NAME__/restarts", "severity": "medium", "layer": "workload", "text": {"en": {
    "title": "Container was started over and over",
    "message": "Container {container} of pod {pod} was started again {restarts} times.",
    "remediation": ["Read what it said before it ended: kubectl -n {namespace} logs {pod} -c {container} --previous"],
    "doc": "Looks at the restart counts of all containers."
  }}}],
  "inputs": [{"name": "pods", "resource": "v1/pods", "fields": [
    "metadata.{namespace,name}", "spec.nodeName", "status.containerStatuses[].{name,restartCount}"
  ]}]
}`;
