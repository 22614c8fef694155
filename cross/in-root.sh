#!/usr/bin/env bash
# Runs a command in a root file system, with its own mounts and processes and no network.
#
#   cross/in-root.sh FOLDER CMD…
set -euo pipefail
dir=$1
shift
exec unshare --mount --pid --net --fork --kill-child bash -c '
	mount --make-rprivate /
	mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev"
	exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"' "$dir" "$@"
