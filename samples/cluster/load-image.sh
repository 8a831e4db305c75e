#!/usr/bin/env bash
# load-image.sh TAR: imports an image (docker-archive or OCI tar) into containerd of every node, since nothing can be pulled.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ -f "${1:-}" ] || die "usage: load-image.sh TAR"
for i in $(nodes); do cp "$1" "$CF/load.tar"; nexec "$i" ctr -n k8s.io images import --local "$CF/load.tar" | sed "s/^/n$i: /"; done
rm -f "$CF/load.tar"
