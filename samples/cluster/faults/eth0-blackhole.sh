#!/usr/bin/env bash
# eth0-blackhole: of what node NODE sends, all that is larger than 600 bytes vanishes, and no ICMP says so: a way that is
# narrower than the node's eth0
set -euo pipefail
. "$(dirname "$0")/common.sh"
TABLE=cf_eth0_blackhole
inject() { # nft 1.0.6 wants a line end before each closing brace
  lan nft -f - <<K
table netdev $TABLE {
  chain in {
    type filter hook ingress devices = { cfv$NODE } priority 0;
    meta length > 600 counter drop
  }
}
K
}
show() { lan ping -c 3 -i 0.2 -w 1 -s 1200 -q "$(nodeip "$NODE")" | grep 'packet loss' || true; }
undo() { lan nft delete table netdev $TABLE 2>/dev/null || true; }
main "$@"
