#!/usr/bin/env bash
# Runs the arm64 binary under qemu with Debian 11's libraries and the arm64 ONNX Runtime: the demo bundle must
# verify, and pictures of the demo must get the labels of the amd64 binary, with logits within a tolerance. One run of
# the network takes seconds there, so two emulations go on side by side.
#
#   cross/emulate.sh
. "$(dirname "$0")/qemu.sh"

agent() { emulated "$@" --set infer.threads=1 2>>"$work/said"; }

# classified WHAT FOLDER…: gives them the labels of the amd64 binary, and about its logits.
classified() {
	agent classify --bundle demo/bundle --json --logits "${@:2}" >"$work/$1" || die "$1: $(tail -n 1 "$work/said")"
	python3 - "$work/amd64" "$work/$1" "$1" <<-'EOF' || die "$1 answers otherwise than amd64"
		import json, sys
		amd64, arm64 = ({answer["file"]: answer for answer in map(json.loads, open(path))} for path in sys.argv[1:3])
		assert arm64, "nothing was classified"
		worst = 0
		for file, b in arm64.items():
		    a = amd64[file]
		    assert a["top"][0]["label"] == b["top"][0]["label"], (a, b)
		    worst = max(worst, max(abs(x - y) for x, y in zip(a["logits"], b["logits"])) / max(map(abs, a["logits"])))
		assert worst <= 1e-3, f"logits differ by {worst:g} of the largest"
		print(f"emulate: {sys.argv[3]}, {len(arm64)} pictures: same top-1, logits within {worst:.1e} of the largest", file=sys.stderr)
	EOF
}

# An ONNX Runtime older than the binding comes through the shim that lies beside the binary.
beside() {
	agent verify demo/bundle >&2 || die "the demo bundle does not answer as its goldens"
	for library in "$root"/build/onnxruntime/older/*-arm64/libonnxruntime.so; do
		classified "$(basename "$(dirname "$library")")" "$work/pictures/gear"
	done
}

"$native" demo-data --out "$work/pictures" --n 13 --seed 5 >/dev/null 2>&1
"$native" classify --bundle demo/bundle --json --logits "$work/pictures" >"$work/amd64"
beside &
beside=$!

agent version >"$work/version" || die "does not start"
grep -q '^OpenCV 4.10.0$' "$work/version" && grep -q '^ONNX Runtime [0-9]' "$work/version" || die "does not know its libraries: $(cat "$work/version")"
agent check-config configs/default.yaml >/dev/null || die "refuses the sample configuration"
classified "the present ONNX Runtime" "$work"/pictures/{bolt-m6,empty,nut,washer-split}
wait $beside || exit 1
