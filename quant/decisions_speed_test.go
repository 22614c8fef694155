package quant

import (
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/eval"
)

// TestGateSpeed: what is not proven to be slower passes, with a finding; what runs outside of
// integers does not, however fast.
func TestGateSpeed(t *testing.T) {
	whole := &Proof{Convolutions: 13, WantConv: 13, Dense: 3, WantDense: 3}
	part := &Proof{Convolutions: 12, WantConv: 13, Dense: 3, WantDense: 3}
	ms := func(low, high float64) *eval.Latency {
		return &eval.Latency{FP32: 13.90, Here: 14.08, SpeedupLow: low, SpeedupHigh: high}
	}
	for _, c := range []struct {
		name         string
		proof        *Proof
		latency      *eval.Latency
		missed, open string // a part of the one sentence; empty: none
	}{
		{"faster", whole, ms(1.8, 2.1), "", ""},
		{"slower", whole, ms(0.91, 0.97), "INT8 takes 14.08 ms, FP32 13.90 ms: it is not optimized", ""},
		{"noise", whole, ms(0.95, 1.02), "", "0.95 to 1.02 times as fast, so this machine cannot tell now"},
		{"from below", whole, ms(0.95, 1), "", "cannot tell"},
		{"not measured", whole, nil, "", ""},
		{"fast, not on integers", part, ms(1.8, 2.1), "only 12 of 13 convolutions and 3 of 3", ""},
	} {
		missed, open := gateSpeed(c.proof, c.latency)
		if got := strings.Join(missed, "; "); !strings.Contains(got, c.missed) || (c.missed == "") != (got == "") {
			t.Errorf("%s: missed %q, want %q", c.name, got, c.missed)
		}
		if len(open) > 1 || (len(open) == 1) != (c.open != "") ||
			len(open) == 1 && (!strings.Contains(open[0].Evidence, c.open) || open[0].Cure == "") {
			t.Errorf("%s: findings %+v, want %q", c.name, open, c.open)
		}
	}
}
