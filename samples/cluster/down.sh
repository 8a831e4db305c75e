#!/usr/bin/env bash
# down.sh [keep]: ends the real cluster: every process in the cgroup cf, its network namespaces, cgroups, state and sysctls.
# With keep the nodes' directories (logs) stay until the next up.sh or down.sh.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for pass in $(seq 1 10); do
  pids=$(find $CG/pids/cf -name cgroup.procs -exec cat {} + 2>/dev/null | sort -un) || true
  [ -n "$pids" ] || break
  kill -9 $pids 2>/dev/null || true
  sleep .3
done
[ -z "$pids" ] || die "still alive: $pids"
for n in $(ip netns list | awk '{print $1}' | grep -E '^cf(-n[0-9]+)?$' || true); do ip netns del "$n"; done
ip link del cf-host 2>/dev/null || true      # its peer went with netns cf, usually taking it along
for c in $CTLS; do
  for pass in 1 2 3; do [ ! -d "$CG/$c/cf" ] || find "$CG/$c/cf" -depth -type d -exec rmdir {} + 2>/dev/null || sleep .1; done
done
if [ -f "$CF/sysctl.saved" ]; then sysctl -e -q -p "$CF/sysctl.saved"; rm -f "$CF/sysctl.saved"; fi
rm -f "$CF/admin.conf"
[ "${1:-}" = keep ] || rm -rf "$NODEDIR" "$LAN"
lap down
