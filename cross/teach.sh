#!/usr/bin/env bash
# Fits a head on arm64, under qemu with Debian 11's libraries: its coefficients must be those of amd64 to 1e-9.
#
#   cross/teach.sh        (after make release)
. "$(dirname "$0")/qemu.sh"

CGO_ENABLED=1 GOOS=linux GOARCH=arm64 CC="clang --target=$triplet --sysroot=$sysroot" CGO_LDFLAGS=-fuse-ld=lld \
	go test -c -o "$work/teach" ./teach
cd teach
qemu-aarch64-static -L "$sysroot" "$work/teach" -test.run TestCoefficientsElsewhere -test.v >"$work/said" || die "$(cat "$work/said")"
say "coefficients: $(sed -n 's/.*go:[0-9]*: //p' "$work/said")"
