#!/usr/bin/env bash
# eth0-loss-20: a fifth of what node NODE sends and of what it is sent is lost, at random, on its own eth0
set -euo pipefail
. "$(dirname "$0")/common.sh"
TABLE=cf_eth0_loss
lose() { # lose DEVICE: the rules for nft (1.0.6 wants a line end before each closing brace)
  cat <<K
table netdev $TABLE {
  chain in {
    type filter hook ingress devices = { $1 } priority 0;
    numgen random mod 100 < 20 counter drop
  }
}
K
}
inject() { lose eth0 | nexec "$NODE" nft -f -; lose "cfv$NODE" | lan nft -f -; }
show() { lan ping -c 50 -i 0.02 -w 3 -q "$(nodeip "$NODE")" | grep 'packet loss' || true; }
undo() { nexec "$NODE" nft delete table netdev $TABLE 2>/dev/null || true; lan nft delete table netdev $TABLE 2>/dev/null || true; }
main "$@"
