package mistake

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	verbs := strings.Fields("run watch classify calibrate cameras import inspect teach verify release fleet new")
	for word, want := range map[string]string{"rum": "run", "RUN": "run", "class": "classify", "calib": "calibrate",
		"impotr": "import", "cal": "calibrate", "veryfy": "verify", "ca": "", "c": "", "list": "", "xyzzy": "", "": "",
		"camers": "cameras"} {
		if got := Nearest(word, verbs); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	if got := DidYouMean("Bold-M6", []string{"bolt-m8", "bolt-m6"}); got != ", did you mean bolt-m6?" {
		t.Errorf("got %q", got)
	}
	if got := DidYouMean("zebra", []string{"bolt-m8"}); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestTogether(t *testing.T) {
	var all []error
	for i := range 3000 {
		all = append(all, fmt.Errorf("m%d", i))
	}
	for n, want := range map[int]string{1: "m0", 2: "m0; m1", 5: "m0; m1; m2; m3; m4",
		3000: "m0; m1; m2; m3; m4; and 2995 more"} {
		if got := Together(all[:n]); got.Error() != want {
			t.Errorf("%d: %v, want %s", n, got, want)
		}
	}
	if err := Together(nil); err != nil {
		t.Error(err)
	}
	one := errors.New("one")
	if Together([]error{one}) != one {
		t.Error("one error is another one")
	}
}
