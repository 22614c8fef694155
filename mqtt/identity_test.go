package mqtt

import (
	"strings"
	"testing"
)

func TestCheckDevice(t *testing.T) {
	for id, want := range map[string]string{
		"edge-01_a": "", strings.Repeat("x", 128): "", strings.Repeat("x", 129): "at most 128 characters",
		"":    "must be letters",
		"a/b": "must be letters", "a+": "must be letters", "ü": "must be letters", "a\n": "must be letters",
	} {
		err := CheckDevice(id)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %v, want %q", id, err, want)
		}
	}
}
