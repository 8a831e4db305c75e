#!/usr/bin/env bash
# packet-loss-20: a fifth of what the Pods of node NODE send is lost, at random (nft; the kernel has no netem)
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() {
  demo
  local dev list=""
  for dev in $(nexec $NODE ip -br link | grep -o '^veth[^@ ]*'); do list="$list${list:+, }$dev"; done
  # nft 1.0.6 wants a line end before each closing brace
  nexec $NODE nft -f - <<K
table netdev $TABLE {
  chain in {
    type filter hook ingress devices = { $list } priority 0;
    numgen random mod 100 < 20 counter drop
  }
}
K
}
TABLE=cf_loss
show() {
  local ip n; ip=$(web_ip $NODE)
  for n in 1 2 3; do from $PEER get "http://$ip:8080/big" 20s; done
  nexec $NODE nft list table netdev $TABLE 2>/dev/null | grep counter || true
  in_pod $DEMO "$(web_on $NODE)" nstat -az TcpRetransSegs | tail -1
}
undo() { nexec $NODE nft delete table netdev $TABLE 2>/dev/null || true; }
main "$@"
