#!/usr/bin/env bash
# Builds the commit again in another folder, with an empty Go cache, and compares the bytes.
#
#   cross/reproduce.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

[ -z "$(git status --porcelain)" ] || die "commit first: what is built again is the commit"
cross/link.sh $arch
other=$(mktemp -d "$root/build/again.XXXXXX")
trap 'chmod -R u+w "$other"; rm -rf "$other"' EXIT
git clone --quiet --no-hardlinks "$root" "$other/src"
mkdir -p "$other/src/build"
cp -al "$build" "$other/src/build/cross" # the cached OpenCV and sysroot
VERSION=$(git describe --tags --always --dirty) GOCACHE=$other/cache "$other/src/cross/link.sh" $arch
cmp "$binary" "$other/src/build/release/$arch/vggse-agent" || die "two builds of one commit differ"
say "two folders, same bytes: $(sha256sum <"$binary" | cut -c 1-16)"
