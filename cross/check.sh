#!/usr/bin/env bash
# Holds a release binary against what it promises to every machine that it goes to.
#
#   cross/check.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

# amd64 code is wider. What it needs was measured (32.0 MiB, with the live page, releases, teach and the
# table of recipes); arm64 was a tenth smaller when both were measured last.
case $arch in
arm64) max_bytes=$((30 << 20)) ;;
amd64) max_bytes=$((34 << 20)) ;;
esac
newest_glibc=2.31 # JetPack 5

[ -f "$binary" ] || die "$binary is missing: make release"
dynamic=$(readelf -dW "$binary")
symbols=$(readelf -VW "$binary")
needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")
glibc=$(grep -o 'GLIBC_[0-9.]*' <<<"$symbols" | sed s/GLIBC_// | sort -uV | tail -n 1)
bytes=$(stat -c %s "$binary")
foreign=$(grep -vE '^(lib(gst[a-z]*-1\.0|gobject-2\.0|glib-2\.0)\.so\.0|lib(dl|pthread|m|c|resolv|rt)\.so\.[0-9]+|ld-linux-.*)$' <<<"$needed" || true)

[ -z "$foreign" ] || die "needs libraries that a device may not have:" $foreign
[ "$(printf '%s\n' "$glibc" $newest_glibc | sort -V | tail -n 1)" = $newest_glibc ] || die "needs GLIBC_$glibc, newer than $newest_glibc"
grep -q 'FLAGS_1.* PIE' <<<"$dynamic" || die "is not position independent (PIE)"
grep -q 'BIND_NOW' <<<"$dynamic" || die "binds lazily: RELRO is not full"
readelf -lW "$binary" | grep -q GNU_RELRO || die "has no RELRO segment"
! readelf -SW "$binary" | grep -q ' \.symtab ' || die "is not stripped"
[ "$bytes" -le $max_bytes ] || die "has $bytes bytes, more than $max_bytes"
! grep -qaF "$root" "$binary" || die "names the folder that it was built in ($root)"
say "$(wc -w <<<"$needed") libraries, GLIBC_$glibc, PIE, full RELRO, $bytes bytes"

shim_glibc=$(readelf -VW "$shim" | grep -o 'GLIBC_[0-9.]*' | sed s/GLIBC_// | sort -uV | tail -n 1)
[ "$(printf '%s\n' "$shim_glibc" $newest_glibc | sort -V | tail -n 1)" = $newest_glibc ] || die "its shim needs GLIBC_$shim_glibc, newer than $newest_glibc"
! grep -qaF "$root" "$shim" || die "its shim names the folder that it was built in ($root)"

# The least processor time of 20 starts: what else the machine does is not the binary's.
[ $arch = "$(dpkg --print-architecture)" ] || exit 0
TIMEFORMAT='%3U %3S'
best=1000000
for _ in $(seq 20); do
	took=$({ time "$binary" --help >/dev/null; } 2>&1 | awk '{ printf "%d", ($1 + $2) * 1000 }')
	[ "$took" -ge $best ] || best=$took
done
say "starts with $best ms of processor time (the bar, in docs/benchmarks.md, is of one machine)"
