#!/usr/bin/env bash
# service-blackhole: node NODE drops what goes to the ClusterIP of Service web before it is translated: Pods answer, the Service does not
set -euo pipefail
. "$(dirname "$0")/common.sh"
service_ip() { k -n $DEMO get svc web -o jsonpath='{.spec.clusterIP}'; }
rule() { local c; for c in PREROUTING OUTPUT; do nexec $NODE iptables -t raw "$1" $c -d "$(service_ip)" -j DROP; done; }
inject() { demo; rule -I; }
show() { from $NODE get "http://web.$DEMO/" 3s; nexec $NODE iptables -t raw -nvL; }
undo() { while rule -D 2>/dev/null; do :; done; }
main "$@"
