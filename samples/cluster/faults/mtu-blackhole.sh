#!/usr/bin/env bash
# mtu-blackhole: the way from node NODE to node PEER takes 1300 bytes, and the ICMP that would say so is dropped: small answers pass, big ones hang
set -euo pipefail
. "$(dirname "$0")/common.sh"
# the route of NODE to the Pods of PEER, without and with the smaller MTU
route() { nexec $NODE ip route show "$(k get node cf-n$PEER -o jsonpath='{.spec.podCIDR}')" | sed 's/ mtu [0-9]*//'; }
rule() { nexec $NODE iptables "$1" OUTPUT -p icmp --icmp-type fragmentation-needed -j DROP; }
inject() { [ "$NODE" != "$PEER" ] || die "needs two nodes"; demo; rule -I; nexec $NODE ip route replace $(route) mtu 1300; }
show() { local ip; ip=$(web_ip $NODE); from $PEER get "http://$ip:8080/" 4s; from $PEER get "http://$ip:8080/big" 4s; }
undo() { while rule -D 2>/dev/null; do :; done; nexec $NODE ip route replace $(route); }
main "$@"
