#!/usr/bin/env bash
# Runs the arm64 binary under qemu with Debian 11's libraries and the arm64 ONNX Runtime: the demo bundle must
# verify, and every picture of the demo must get the label of the amd64 binary, with logits within a tolerance.
#
#   cross/emulate.sh
set -- arm64
. "$(dirname "$0")/lib.sh"

ARCH=arm64 scripts/deps
library=$root/build/onnxruntime/linux-arm64/libonnxruntime.so
native=$root/build/release/amd64/vggse-agent
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_STATE_HOME=$work/state XDG_CACHE_HOME=$work/cache
emulated() { qemu-aarch64-static -L "$sysroot" "$binary" "$@" --set infer.library="$library" --set infer.threads=1; }

emulated version >"$work/version" || die "does not start"
grep -q '^OpenCV 4.10.0$' "$work/version" && grep -q '^ONNX Runtime [0-9]' "$work/version" || die "does not know its libraries: $(cat "$work/version")"
# An ONNX Runtime older than the binding, through the shim that lies beside the binary.
for older in "$root"/build/onnxruntime/older/*-arm64/libonnxruntime.so; do
	said=$(qemu-aarch64-static -L "$sysroot" "$binary" verify demo/bundle --set infer.library="$older" --set infer.threads=1) || die "the demo bundle fails with $older"
	say "$(basename "$(dirname "$older")"): $said"
done
emulated check-config configs/default.yaml >/dev/null || die "refuses the sample configuration"
emulated verify demo/bundle >&2 || die "the demo bundle does not answer as its goldens"

"$native" demo-data --out "$work/pictures" --n 13 --seed 5 >/dev/null
emulated classify --bundle demo/bundle --json --logits "$work/pictures" >"$work/arm64.jsonl"
"$native" classify --bundle demo/bundle --json --logits "$work/pictures" >"$work/amd64.jsonl"
python3 - "$work/amd64.jsonl" "$work/arm64.jsonl" >&2 <<'EOF'
import json, sys
amd64, arm64 = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(amd64) == len(arm64) > 0, "one of them classified fewer pictures"
worst = 0
for a, b in zip(amd64, arm64):
    assert a["file"] == b["file"] and a["top"][0]["label"] == b["top"][0]["label"], (a, b)
    largest = max(map(abs, a["logits"]))
    worst = max(worst, max(abs(x - y) for x, y in zip(a["logits"], b["logits"])) / largest)
assert worst <= 1e-3, f"logits differ by {worst:g} of the largest"
print(f"emulate: {len(amd64)} pictures, same top-1, logits within {worst:.1e} of the largest")
EOF
