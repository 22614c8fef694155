#!/usr/bin/env bash
# A static OpenCV of four modules, from Debian's source: cameras through GStreamer and V4L2, JPEG and PNG.
# The files say nothing of this machine: two folders give the same bytes.
#
#   cross/opencv.sh amd64|arm64      (JOBS=n: compile n files at once)
. "$(dirname "$0")/lib.sh"

version=4.10.0
sha256=4ca619efbad524c550771ab110332fc81293fb720bd03980fe58bc15f9ca3be8
archive=$build/opencv_$version+dfsg.orig.tar.xz
source=$build/opencv-$version

made_by=$(recipe cross/sysroot.sh cross/opencv.sh cross/toolchain.cmake)
fresh "$opencv" "$made_by" && exit
cross/sysroot.sh $arch

fetch() {
	echo "$sha256  $archive" | sha256sum --check --status 2>/dev/null && return
	say "fetching OpenCV's source (78 MB)"
	curl -sSfLo "$archive.part" "$(mirror)/pool/main/o/opencv/$(basename "$archive")" || die "OpenCV's source could not be fetched from $(mirror)"
	echo "$sha256  $archive.part" | sha256sum --check --status || die "OpenCV's source is not the known one: nothing was built"
	mv "$archive.part" "$archive"
}

unpack() { # aside, then renamed: the other architecture may be at it, too
	[ -d "$source" ] && return
	local aside
	aside=$(mktemp -d "$build/unpack.XXXXXX")
	tar xf "$archive" -C "$aside"
	mv -T "$aside/opencv-$version" "$source" 2>/dev/null || [ -d "$source" ]
	rm -rf "$aside"
}

# What Debian's tarball lacks is off (flatbuffers, carotene), and what the agent does not use. IPP and run-time
# dispatch are off so that amd64 computes as arm64 does.
configure() {
	local off="TIFF WEBP OPENJPEG JASPER OPENEXR GTK QT OPENCL CUDA TBB PROTOBUF ADE LAPACK EIGEN ITT QUIRC 1394 FLATBUFFERS CAROTENE IPP FFMPEG"
	local unbuilt="TESTS PERF_TESTS EXAMPLES JAVA opencv_apps opencv_python2 opencv_python3 JPEG PNG ZLIB SHARED_LIBS"
	local libs=$sysroot/usr/lib/$triplet map="-ffile-prefix-map=$root=."
	local options=()
	for o in $off; do options+=("-DWITH_$o=OFF"); done
	for o in $unbuilt; do options+=("-DBUILD_$o=OFF"); done
	[ $arch = amd64 ] && options+=(-DCPU_DISPATCH=)
	SYSROOT=$sysroot TRIPLET=$triplet PROCESSOR=$processor \
		PKG_CONFIG_LIBDIR=$libs/pkgconfig:$sysroot/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$sysroot \
		cmake -G Ninja -S "$source" -B "$objects" -DCMAKE_TOOLCHAIN_FILE="$root/cross/toolchain.cmake" -DCMAKE_BUILD_TYPE=Release \
		-DCMAKE_INSTALL_PREFIX=/opt/vggse/opencv -DBUILD_LIST=core,imgproc,imgcodecs,videoio -DWITH_GSTREAMER=ON -DWITH_V4L=ON \
		-DENABLE_PIC=ON -DCMAKE_C_FLAGS="$map" -DCMAKE_CXX_FLAGS="$map" -DOPENCV_SKIP_FILES_EXECUTABLE_CHECK=ON "${options[@]}"
	grep -q 'GStreamer: *YES' "$log" || die "OpenCV was configured without GStreamer: see $log"
	grep -q 'v4l/v4l2: *YES' "$log" || die "OpenCV was configured without V4L2: see $log"
	# cv::getBuildInformation names folders and this machine.
	sed -i -e "s|$root|.|g" -e 's|Host: .*\\n|Host: Linux\\n|' "$objects/modules/core/version_string.inc"
}

mkdir -p "$build"
objects=$build/objects-$arch log=$build/opencv-$arch.log
fetch
unpack
say "compiling OpenCV $version (about three minutes on two cores)"
rm -rf "$objects" "$build/opencv-$arch"
# The times in OpenCV's own text are its release's, not this commit's: the cached build must not differ from a new one.
export SOURCE_DATE_EPOCH=1717372800
{ configure && DESTDIR=$build/opencv-$arch ninja -C "$objects" -j "${JOBS:-$(nproc)}" install; } >"$log" 2>&1 || {
	tail -n 20 "$log" >&2
	die "OpenCV could not be built: see $log"
}
rm -rf "$objects"
done_with "$opencv" "$made_by"
