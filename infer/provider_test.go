package infer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// TestLadder climbs down from the GPU providers on the real library, which on a machine without a
// GPU refuses them in its own words. A machine that has one proves nothing here.
func TestLadder(t *testing.T) {
	info := open(t, infer.Config{}, tiny).Info()
	if info.Provider != infer.CPU {
		t.Skipf("this machine runs the network on %s", info.Provider)
	}
	var tried []string
	for _, a := range info.Tried {
		tried = append(tried, a.Provider)
		if a.Err == nil || a.Err.Error() == "" || strings.Contains(a.Err.Error(), "\n") {
			t.Errorf("%s was given up for no reason that fits a line: %v", a.Provider, a.Err)
		}
		t.Logf("%s: %v", a.Provider, a.Err)
	}
	if got := strings.Join(tried, " "); got != "tensorrt cuda" {
		t.Errorf("auto tried %q before cpu, want tensorrt cuda", got)
	}

	warn := open(t, infer.Config{Providers: []string{infer.CUDA, infer.CPU}, OnFallback: "warn"}, tiny).Info()
	if warn.Provider != infer.CPU || len(warn.Tried) != 1 || warn.Tried[0].Provider != infer.CUDA {
		t.Errorf("cuda, cpu with on_fallback warn: %+v", warn)
	}

	for _, c := range []infer.Config{
		{Providers: []string{infer.TensorRT, infer.CPU}},
		{Providers: []string{infer.TensorRT, infer.CPU}, OnFallback: "fail"},
		{Providers: []string{infer.TensorRT, infer.CUDA}, OnFallback: "warn"},
	} {
		_, err := infer.Open(context.Background(), c, tiny)
		if !errors.Is(err, infer.ErrNoProvider) || !strings.Contains(err.Error(), info.Tried[0].Err.Error()) {
			t.Errorf("%v %s: got %v, want the reason %q", c.Providers, c.OnFallback, err, info.Tried[0].Err)
		}
	}
}

// A damaged file is the file's fault on every provider: the message must not be about GPUs.
func TestLadderStopsAtABrokenModel(t *testing.T) {
	needLibrary(t)
	net := tiny
	net.Classes = 4
	_, err := infer.Open(context.Background(), infer.Config{}, net)
	if err == nil || errors.Is(err, infer.ErrNoProvider) || !strings.Contains(err.Error(), "4 labels") {
		t.Errorf("got %v", err)
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		c    infer.Config
		want string // "" is valid
	}{
		{infer.Config{}, ""},
		{infer.Config{Library: "auto", Providers: []string{"auto"}, OnFallback: "fail"}, ""},
		{infer.Config{Providers: []string{"tensorrt", "cpu"}, OnFallback: "warn", Threads: 4, MaxBatch: 8}, ""},
		{infer.Config{Library: "/none.so"}, "infer.library: /none.so is not a file"},
		{infer.Config{Providers: []string{"gpu"}},
			`infer.providers[0]: must be auto or one of tensorrt, cuda, openvino, cpu, got "gpu"`},
		{infer.Config{Providers: []string{"auto", "cpu"}}, "infer.providers: auto stands alone"},
		{infer.Config{Providers: []string{"cpu", "cpu"}}, "infer.providers[1]: cpu is there twice"},
		{infer.Config{OnFallback: "ignore"}, "infer.on_fallback: must be fail or warn"},
		{infer.Config{Threads: -1}, "infer.threads:"},
		{infer.Config{MaxBatch: 1000}, "infer.max_batch:"},
	}
	for _, tt := range tests {
		err := tt.c.Validate()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%+v: got %v, want %q", tt.c, err, tt.want)
		}
	}
}
