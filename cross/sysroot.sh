#!/usr/bin/env bash
# The headers and libraries of Debian 11 (glibc 2.31, the oldest that a supported JetPack has), to link against.
#
#   cross/sysroot.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

packages=libc6-dev,libstdc++-10-dev,libgcc-10-dev,linux-libc-dev,libgstreamer1.0-dev,libgstreamer-plugins-base1.0-dev
packages+=,libjpeg62-turbo-dev,libpng-dev,zlib1g-dev

made_by=$(recipe cross/sysroot.sh)
fresh "$sysroot" "$made_by" && exit
say "extracting Debian 11's libraries (half a minute)"
rm -rf "$sysroot"
mkdir -p "$build"
mmdebstrap --quiet --variant=extract --architectures=$arch --include=$packages bullseye "$sysroot" "$(mirror)" 2>"$build/sysroot-$arch.log" ||
	die "mmdebstrap failed: see $build/sysroot-$arch.log"

# Links that begin with / lead out of the sysroot: the linker would then take libdl.a for libdl.so.
find "$sysroot" -type l -lname '/*' -print0 | while IFS= read -r -d '' link; do
	ln -snf "$(realpath -m --relative-to="$(dirname "$link")" "$sysroot$(readlink "$link")")" "$link"
done
done_with "$sysroot" "$made_by"
