#!/usr/bin/env bash
# The release binary, with OpenCV and the C++ library inside: build/release/ARCH/vggse-agent.
#
#   cross/link.sh amd64|arm64
. "$(dirname "$0")/lib.sh"

cross/opencv.sh $arch
libs=$sysroot/usr/lib/$triplet
target="--target=$triplet --sysroot=$sysroot"
map="-ffile-prefix-map=$root=."
gstreamer="-lgstreamer-1.0 -lgstapp-1.0 -lgstvideo-1.0 -lgstaudio-1.0 -lgstriff-1.0 -lgstpbutils-1.0 -lgstbase-1.0 -lgobject-2.0 -lglib-2.0"

export CGO_ENABLED=1 GOOS=linux GOARCH=$arch CC="clang $target" CXX="clang++ $target"
export CGO_CFLAGS="-O2 -g0 -ffunction-sections -fdata-sections $map"
export CGO_CXXFLAGS="--std=c++11 -DNDEBUG -O2 -g0 -ffunction-sections -fdata-sections $map -I$opencv/include/opencv4"
# JPEG, PNG and zlib are inside, too: Debian and Ubuntu give libjpeg different names.
export CGO_LDFLAGS="-fuse-ld=lld -Wl,--as-needed,--gc-sections,--icf=safe,-z,relro,-z,now -L$opencv/lib \
-lopencv_videoio -lopencv_imgcodecs -lopencv_imgproc -lopencv_core $libs/libjpeg.a $libs/libpng16.a $libs/libz.a \
$gstreamer -ldl -lpthread -lrt -lm -static-libstdc++ -static-libgcc"

# What the program knows of GStreamer without its headers is so on this architecture.
$CC -fsyntax-only -I camera -I"$sysroot/usr/include/gstreamer-1.0" -I"$sysroot/usr/include/glib-2.0" \
	-I"$libs/glib-2.0/include" cross/layout.c

version=${VERSION:-$(git describe --tags --always --dirty)}
commit=${COMMIT:-$(git rev-parse --short=12 HEAD)}
mkdir -p "$(dirname "$binary")"
say "linking $version"
# -buildid= : the usual one is a hash that the folder goes into.
go build -trimpath -buildvcs=false -buildmode=pie -tags customenv,gocv,gocv_specific_modules,gocv_videoio \
	-ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "$binary" ./cmd/vggse-agent

# What stands between the binding and an ONNX Runtime older than 1.24.
$CC -shared -fPIC -O2 -g0 $map -Wall -Wextra -Werror -fvisibility=hidden -fuse-ld=lld -Wl,-z,relro,-z,now,--strip-all,--build-id=none \
	-o "$shim" infer/shim/shim.c
