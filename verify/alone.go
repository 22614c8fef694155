package verify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
)

// OriginNothing is Verdict.Golden where there is nothing to compare with.
const OriginNothing = "goldens and FP32 were left out when the bundle was released or pulled"

// nothingLeft reports whether all that a file of the given precision could be held against was left
// out on purpose. Its digest is still that of its manifest.
func nothingLeft(b *bundle.Bundle, precision string) bool {
	out := func(key string) bool { return slices.Contains(b.Absent, key) }
	if precision == "int8" {
		_, judged := b.Spec.Files[bundle.FileGoldens8]
		return !judged && out(bundle.FileFP32)
	}
	_, golden := b.Spec.Files[bundle.FileGolden]
	return !golden && (out(bundle.FileFP32) || out(bundle.FileGolden) &&
		b.Spec.Architecture.Family == bundle.FamilyONNX)
}

// alone looks at what can be seen of a network without anything beside it: that it answers made-up
// pictures with numbers, twice the same, and not all of them alike.
func alone(ctx context.Context, n *infer.Network) (*Verdict, error) {
	spec, info := &n.Bundle.Spec, n.Info()
	x := smoothPictures(Pairs, spec.Architecture.InputSize, &spec.Preprocess)
	first, err := runPairs(ctx, n.Engine, x, len(spec.Labels))
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	again, err := runPairs(ctx, n.Engine, x, len(spec.Labels))
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v := &Verdict{Provider: info.Provider, Precision: info.Precision, Golden: OriginNothing,
		Tolerance: infer.Tolerance(info.Precision, info.Provider)}
	v.MaxDiff, v.MaxLogit = infer.Difference(first, again)
	classes := len(spec.Labels)
	alike := classes > 1
	for i := classes; i < len(first); i += classes {
		alike = alike && slices.Equal(first[:classes], first[i:][:classes])
	}
	switch {
	case math.IsInf(v.MaxDiff, 0):
		return nil, &MissedError{fmt.Sprintf("%s answers with NaN or infinity on %s: the weights are damaged, or "+
			"too large for %s", n.Bundle.Dir, info.Provider, info.Precision)}
	case alike:
		return v, &MissedError{fmt.Sprintf("%s gives the same answer to different pictures on %s: the weights are "+
			"damaged, or too large for %s", n.Bundle.Dir, info.Provider, info.Precision)}
	case v.MaxDiff > v.Tolerance*v.MaxLogit:
		return v, &MissedError{fmt.Sprintf("%s answers the same picture %.3g off the second time on %s", n.Bundle.Dir,
			v.MaxDiff, info.Provider)}
	}
	v.OK = true
	return v, nil
}
