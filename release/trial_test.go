package release

import (
	"strings"
	"testing"
)

// A trial that nobody can ask for is refused before it is signed, and where it is read.
func TestTrialBounds(t *testing.T) {
	for _, tt := range []struct {
		trial Trial
		want  string
	}{
		{Trial{}, ""},
		{Trial{Frames: 5000, Minutes: 60, Agreement: 0.9, Unknown: 0.2, Latency: 1.2}, ""},
		{Trial{Frames: -1}, "trial.frames"},
		{Trial{Minutes: 1 << 40}, "trial.minutes"},
		{Trial{Agreement: 1.1}, "trial.agreement"},
		{Trial{Unknown: -0.1}, "trial.unknown"},
		{Trial{Latency: 0.5}, "trial.latency"},
	} {
		err := tt.trial.validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: %v, want %q", tt.trial, err, tt.want)
		}
	}
}
