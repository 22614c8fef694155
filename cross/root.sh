#!/usr/bin/env bash
# A Debian or Ubuntu to try the package in, with systemd and the package's dependencies; prints its folder.
#
#   cross/root.sh amd64|arm64 bullseye|bookworm|trixie, or of Ubuntu focal|jammy|noble (amd64)
. "$(dirname "$0")/lib.sh"

release=${2:?a release of Debian or Ubuntu}
sources=("$(mirror)")
case $release in focal | jammy | noble) # what JetPack 5, 6 and 7 are made of
	# Debian has no keyring of Ubuntu's: what is not for tests alone must not come from here.
	sources=("deb [trusted=yes] ${UBUNTU_MIRROR:-http://archive.ubuntu.com/ubuntu} $release main universe")
	;;
esac
root_dir=$root/build/_roots/$release-$arch # _: the go command does not look into it
made_by=$(recipe cross/root.sh)
if ! fresh "$root_dir" "$made_by"; then
	say "making a $release (a minute)"
	[ "$arch" = "$(dpkg --print-architecture)" ] || cross/binfmt.sh
	as_root rm -rf "$root_dir"
	mkdir -p "$(dirname "$root_dir")"
	as_root mmdebstrap --quiet --variant=minbase --architectures=$arch \
		--include=systemd,systemd-sysv,dbus,udev,libstdc++6,libgstreamer1.0-0,gstreamer1.0-plugins-base "$release" "$root_dir" "${sources[@]}" 2>"$root_dir.log" ||
		die "mmdebstrap failed: see $root_dir.log"
	done_with "$root_dir" "$made_by"
fi
echo "$root_dir"
