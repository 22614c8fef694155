#!/usr/bin/env bash
# The layers of the container image: build/release/image-ARCH/base.tar, a Debian 12 with what the agent needs, and program.tar,
# the files of the package and ONNX Runtime for the CPU. The same packages and commit make the same bytes. As root.
#
#   cross/image.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

[ -f "$package" ] || die "$package is missing: make deb"
ARCH=$arch scripts/deps
out=$root/build/release/image-$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

made_by=$(recipe cross/image.sh)
if ! fresh "$out" "$made_by"; then
	say "making a Debian 12 (a minute)"
	[ "$arch" = "$(dpkg --print-architecture)" ] || cross/binfmt.sh
	# libav decodes H.264 and H.265 where no hardware does; what draws in software is left out. 10001 is the agent, see deploy/image.
	as_root mmdebstrap --quiet --variant=essential --architectures=$arch --format=tar \
		--include=ca-certificates,passwd,libstdc++6,libglib2.0-0,libgstreamer1.0-0,libgstreamer-plugins-base1.0-0 \
		--include=gstreamer1.0-plugins-base,gstreamer1.0-plugins-good,gstreamer1.0-plugins-bad,gstreamer1.0-libav \
		--dpkgopt=path-exclude=/usr/share/man/* --dpkgopt=path-exclude=/usr/share/locale/* \
		--dpkgopt=path-exclude=/usr/share/doc/* --dpkgopt=path-include=/usr/share/doc/*/copyright \
		--customize-hook='groupadd --root "$1" --gid 10001 vggse-agent' \
		--customize-hook='useradd --root "$1" --uid 10001 --gid 10001 --groups video --home-dir /var/lib/vggse-agent --no-create-home --shell /usr/sbin/nologin vggse-agent' \
		--customize-hook='rm -rf "$1"/usr/lib/*/dri "$1"/usr/lib/*/libLLVM-* "$1"/usr/lib/*/libz3.* "$1"/usr/share/icons "$1"/usr/share/sounds' \
		--customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/* "$1"/etc/*- "$1"/etc/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf' \
		bookworm "$out/base.tar" "$(mirror)" 2>"$out/base.log" || die "mmdebstrap failed: see $out/base.log"
	done_with "$out" "$made_by"
fi

umask 022
chmod 755 "$work"
dpkg-deb --fsys-tarfile "$package" | tar x --no-same-owner -C "$work" --exclude=./lib --exclude=./usr/share/doc/vggse-agent/examples # units and rules
install -D -m 644 "build/onnxruntime/linux-$arch/libonnxruntime.so" "$work/usr/lib/$triplet/libonnxruntime.so.1"
mkdir -p "$work/etc/vggse-agent/trust" "$work/var/lib/vggse-agent" "$work/var/cache/vggse-agent"
chmod 700 "$work/var/lib/vggse-agent" "$work/var/cache/vggse-agent"
list() { (cd "$work" && find . -mindepth 1 "$@" -printf '%P\n' | sort); }
packed() { tar --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=posix --pax-option=delete=atime,delete=ctime --no-recursion -C "$work" -T - "$@"; }
# Only the state and the cache are the agent's: it cannot write to its own program, nor to the keys that it trusts.
list -not -path './var/lib/vggse-agent' -not -path './var/cache/vggse-agent' | packed --owner=0 --group=0 -cf "$out/program.tar"
list -path './var/*/vggse-agent' | packed --owner=10001 --group=10001 -rf "$out/program.tar"
say "$(stat -c %s "$out/base.tar" "$out/program.tar" | paste -sd' ') bytes: Debian 12, the agent"
