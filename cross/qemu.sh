# Sourced by the scripts that run the arm64 binary under qemu, with Debian 11's libraries and the arm64 ONNX Runtime, beside the amd64 one.
# They have a folder $work of their own.
set -- arm64
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ARCH=amd64 scripts/deps
ARCH=arm64 scripts/deps
library=$root/build/onnxruntime/linux-arm64/libonnxruntime.so
native=$root/build/release/amd64/vggse-agent
export ORT_LIB=${ORT_LIB:-$root/build/onnxruntime/linux-amd64/libonnxruntime.so} # of the amd64 one, which finds none by itself
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache

# emulated VERB...: the arm64 binary. $library may be another ONNX Runtime.
emulated() { qemu-aarch64-static -L "$sysroot" "$binary" "$@" --set infer.library="$library"; }
