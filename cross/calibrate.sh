#!/usr/bin/env bash
# Calibrates the demo network on arm64, under qemu with Debian 11's libraries and the arm64 ONNX Runtime, beside amd64: one collection
# must give the same bytes in every file on both, and a collection of its own thresholds within 1e-4, whatever the method.
#
#   cross/calibrate.sh        (after make release)
. "$(dirname "$0")/qemu.sh"

# calibrated ARCH NAME: with the collection NAME, into a bundle of that name. Weights of 8 bits everywhere: auto asks the multiplier.
calibrated() {
	local agent=$native
	[ "$1" = amd64 ] || agent=emulated
	"$agent" calibrate --bundle demo/bundle --images "$work/pictures" --method minmax --budget none --min-agreement 0 --weights 8 \
		--seconds 0 --collection "$work/$2.collection" --out "$work/$2" >"$work/$2.said" 2>&1 || die "$2: $(tail -n 1 "$work/$2.said")"
}

"$native" demo-data --out "$work/pictures" --n 26 --seed 5 >/dev/null 2>&1
calibrated amd64 amd64
cp "$work/amd64.collection" "$work/same.collection"
calibrated arm64 same &
same=$!
calibrated arm64 own
wait $same || exit 1

for file in "$work"/amd64/*.onnx; do
	cmp "$file" "$work/same/${file##*/}" >&2 || die "the same collection gives another ${file##*/}"
done
say "the same collection gives the same $(ls "$work"/amd64/*.onnx | wc -l) files"
python3 - "$work/amd64/plan.json" "$work/own/plan.json" <<-'EOF' || die "ranges differ from amd64's"
	import json, sys
	amd64, arm64 = (json.load(open(path))["tensors"] for path in sys.argv[1:])
	assert [a["tensor"] for a in amd64] == [a["tensor"] for a in arm64] and len(amd64) > 20, "other tensors"
	worst, count, equals = 0, 0, []
	for a, b in zip(amd64, arm64):
	    for method, threshold in a["thresholds"].items():
	        count, apart = count + 1, abs(b["thresholds"][method] / threshold - 1)
	        if apart > 1e-4 and abs(a["sqnr_db"][method] - b["sqnr_db"][method]) < 1e-3: # a search between two minima that are one as good as the other
	            equals.append(f"{method} of {a['tensor']} by {100 * apart:.1f} %")
	        else:
	            worst = max(worst, apart)
	assert worst <= 1e-4, f"{worst:g} apart"
	assert len(equals) <= count // 20, f"{len(equals)} of {count} chose another minimum"
	print(f"calibrate arm64: a collection of its own, {len(amd64)} tensors: {count - len(equals)} of {count} thresholds within {worst:.1e} of amd64's;",
	    f"between minima equal to 0.001 dB moved: {', '.join(equals) or 'none'}", file=sys.stderr)
EOF
