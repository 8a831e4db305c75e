#!/usr/bin/env bash
# conntrack-full: the conntrack table is full for HOLD seconds (default 5). Its size is one for the whole machine, every namespace included: only with I_KNOW=1, never beside other tests
set -euo pipefail
. "$(dirname "$0")/common.sh"
KEY=net.netfilter.nf_conntrack_max SAVED=$CF/conntrack.saved
inject() {
  [ "${I_KNOW:-}" = 1 ] || die "this hits every network namespace of the machine: say I_KNOW=1"
  demo
  local hold=${HOLD:-5} count
  [ "$hold" -le 30 ] || die "HOLD is at most 30"
  [ -f "$SAVED" ] || sysctl $KEY > "$SAVED"
  trap undo EXIT
  # a second way back, should this script be killed
  setsid bash -c "sleep $((hold + 5)); [ ! -f '$SAVED' ] || { sysctl -q -p '$SAVED'; rm -f '$SAVED'; }" > /dev/null 2>&1 < /dev/null &
  count=$(nexec $NODE cat /proc/sys/net/netfilter/nf_conntrack_count)
  sysctl -w $KEY=$((count > 400 ? count / 2 : 100))
  # established connections: those closing would be thrown out early to make room
  from $NODE hold "$(web_ip $PEER):8080" 300 1s &
  sleep "$hold"
  undo
  wait
  show
}
show() {
  local i
  for i in $(nodes); do
    nexec "$i" conntrack -S | tr ' ' '\n' | awk -F= -v i="$i" '{n[$1] += $2} END {print "n" i ": drop", n["drop"], "early_drop", n["early_drop"]}'
  done
  dmesg | grep -i 'conntrack: .*table full' | tail -1 || true
}
undo() { [ ! -f "$SAVED" ] || { sysctl -p "$SAVED"; rm -f "$SAVED"; }; }
main "$@"
