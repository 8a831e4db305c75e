#!/usr/bin/env bash
# eth0-mtu: the eth0 of node NODE takes 1000 bytes while everybody else goes on with 1500, and no ICMP says so
set -euo pipefail
. "$(dirname "$0")/common.sh"
rule() { nexec "$NODE" iptables "$1" OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP; }
inject() { rule -I; nexec "$NODE" ip link set eth0 mtu 1000; }
show() { lan ping -c 3 -i 0.2 -w 1 -s 1200 -M do -q "$(nodeip "$NODE")" | grep 'packet loss' || true; }
undo() { while rule -D 2>/dev/null; do :; done; nexec "$NODE" ip link set eth0 mtu 1500; }
main "$@"
