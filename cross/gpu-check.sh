#!/usr/bin/env bash
# The archive with which anyone can check the agent on an NVIDIA GPU: build/gpu-check.tar.gz. The agents in it have
# no OpenCV, and run on glibc 2.31 and newer as those of the release do.
#
#   cross/gpu-check.sh
set -- amd64
. "$(dirname "$0")/lib.sh"

top=gpu-check
stage=$root/build/gpu-check-stage/$top
max_bytes=$((60 * 1000 * 1000))
version=${VERSION:-$(git describe --tags --always --dirty)}
commit=${COMMIT:-$(git rev-parse --short=12 HEAD)}

rm -rf "$(dirname "$stage")"
mkdir -p "$stage"
for arch in amd64 arm64; do
	cross/sysroot.sh $arch
	case $arch in amd64) triplet=x86_64-linux-gnu ;; arm64) triplet=aarch64-linux-gnu ;; esac
	cc="clang --target=$triplet --sysroot=$build/sysroot-$arch"
	say "building the agent for $arch"
	CGO_ENABLED=1 GOOS=linux GOARCH=$arch CC=$cc CGO_CFLAGS="-O2 -g0 -ffile-prefix-map=$root=." \
		CGO_LDFLAGS="-fuse-ld=lld -Wl,--as-needed,-z,relro,-z,now -ldl -lpthread" \
		go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "$stage/$arch/vggse-agent" ./cmd/vggse-agent
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -buildid=" -o "$stage/$arch/gpucheck" ./bench/gpucheck
	$cc -shared -fPIC -O2 -g0 -Wall -Wextra -Werror -fvisibility=hidden -fuse-ld=lld -Wl,--strip-all \
		-o "$stage/$arch/libvggse-ort-shim.so" infer/shim/shim.c
done

# The demo network in all its precisions; 8-bit weights that no multiplier of this or another machine saturates on.
case $(uname -m) in aarch64) native=arm64 ;; *) native=amd64 ;; esac
agent=$stage/$native/vggse-agent
pictures=$(dirname "$stage")/pictures
say "calibrating the demo network"
export ORT_LIB=${ORT_LIB:-$root/build/onnxruntime/linux-$native/libonnxruntime.so}
"$agent" demo-data --out "$pictures" --n 130 --seed 11 >&2
"$agent" calibrate --bundle demo/bundle --images "$pictures" --weights 8-pairwise --method minmax --budget none --min-agreement 0 --seconds 0.5 \
	--out "$stage/demo" >&2 || die "the demo network could not be calibrated: see above"
rm -f "$stage"/demo/report.* "$stage"/demo/plan.json
cp bench/gpucheck/gpu-check bench/gpucheck/README.md "$stage/"

tar -C "$(dirname "$stage")" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - $top | gzip -n9 >"$root/build/gpu-check.tar.gz.new"
mv "$root/build/gpu-check.tar.gz.new" "$root/build/gpu-check.tar.gz"
bytes=$(stat -c %s "$root/build/gpu-check.tar.gz")
[ "$bytes" -le $max_bytes ] || die "the archive has $bytes bytes, more than $max_bytes"
say "build/gpu-check.tar.gz, $bytes bytes"
