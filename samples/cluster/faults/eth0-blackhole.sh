#!/usr/bin/env bash
# eth0-blackhole: the way from the eth0 of node NODE takes 600 bytes, the node goes on with 1500, and no ICMP says so:
# whatever is larger vanishes
set -euo pipefail
. "$(dirname "$0")/common.sh"
inject() { lan ip link set "cfv$NODE" mtu 600; }
show() { nexec "$NODE" ping -c 3 -i 0.2 -w 1 -s 1200 -M do -q $SUBNET.1 | grep 'packet loss' || true; }
undo() { lan ip link set "cfv$NODE" mtu 1500; }
main "$@"
