#!/usr/bin/env bash
# Boots a Debian 12 with the package under a real systemd and tries what the unit promises.
#
#   cross/boot.sh
set -- amd64
. "$(dirname "$0")/lib.sh"

[ -f "$package" ] || die "$package is missing: make deb"
base=$(cross/root.sh $arch bookworm)
scripts/deps
machine=$root/build/_roots/booted log=$build/boot.log
stop() {
	[ -z "${leader:-}" ] || kill -KILL "$leader" 2>/dev/null || true
	[ -z "${nspawn:-}" ] || wait "$nspawn" 2>/dev/null || true
}
trap stop EXIT

rm -rf "$machine"
cp -a "$base" "$machine"
cp "$package" "$machine/new.deb"
cp "$root/build/onnxruntime/linux-$arch/libonnxruntime.so" "$machine/usr/lib/$triplet/libonnxruntime.so.1"
cp cross/boot-inside.sh "$machine/try"

# The packages of yesterday and of a bad day: the same files, an older version; a binary that never is ready.
again() {
	local tree
	tree=$(mktemp -d)
	dpkg-deb -R "$package" "$tree"
	sed -i "s/^Version: .*/Version: $2/" "$tree/DEBIAN/control"
	[ -z "${3:-}" ] || cp "$3" "$tree/usr/bin/vggse-agent"
	dpkg-deb --root-owner-group -Zgzip --build "$tree" "$machine/$1.deb" >/dev/null
	rm -rf "$tree"
}
again old 0.0.0~old
again bad 9.9.9 /bin/false

systemd-nspawn --quiet -D "$machine" -b --register=no --keep-unit --private-network --console=pipe </dev/null >"$log" 2>&1 &
nspawn=$!
for _ in $(seq 100); do
	leader=$(pgrep -P $nspawn | head -n 1) && [ -n "$leader" ] && break
	sleep 0.1
done
[ -n "${leader:-}" ] || die "the machine does not boot: $(tail -n 3 "$log")"
inside() { nsenter -t "$leader" -m -u -i -n -p -- /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
for _ in $(seq 300); do
	case $(inside systemctl is-system-running 2>/dev/null) in running | degraded) booted=1 && break ;; esac
	sleep 0.1
done
[ -n "${booted:-}" ] || die "the machine does not come up: see $log"
inside bash /try >&2 || die "the service fails: see above"
say "all green"
