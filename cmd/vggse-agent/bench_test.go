package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/infer/roofline"
)

func TestBench(t *testing.T) {
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	bundleDir := filepath.Join(t.TempDir(), "tiny")
	var stdout, stderr bytes.Buffer
	run := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return execute(t.Context(), args, &stdout, &stderr)
	}
	if code := run("new", "--out", bundleDir, "--width", "0.125", "--input", "32", "--hidden", "8", "--classes",
		"3"); code != exitDone {
		t.Fatalf("new: exit %d: %s", code, stderr.String())
	}
	if code := run("bench", "--json", "--provider", "cpu", "--threads", "1", "--batch", "2", "--seconds", "0.1",
		bundleDir); code != exitDone {
		t.Fatalf("bench: exit %d: %s", code, stderr.String())
	}
	var line map[string]any
	if err := json.Unmarshal(stdout.Bytes(), &line); err != nil || strings.Count(stdout.String(), "\n") != 1 {
		t.Fatalf("not one line of JSON (%v): %s", err, stdout.String())
	}
	for key, want := range map[string]any{"provider": "cpu", "precision": "fp32", "threads": 1.0, "batch": 2.0} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	for _, key := range []string{"p50_ms", "p90_ms", "p99_ms", "images_per_s", "rss_mb", "gmacs_per_s", "runs",
		"load_ms", "gmacs", "model_mb", "gb_per_s",
		"ceiling_gmacs_per_s", "ceiling_gb_per_s", "of_ceiling"} {
		if v, _ := line[key].(float64); v <= 0 {
			t.Errorf("%s is %v, want a positive number", key, line[key])
		}
	}
	if p50, p99 := line["p50_ms"].(float64), line["p99_ms"].(float64); p50 > p99 {
		t.Errorf("p50 %g ms is more than p99 %g ms", p50, p99)
	}
	for _, tt := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "--seconds", []string{"--seconds", "0", bundleDir}},
		{exitUsage, "--batch", []string{"--batch", "0", bundleDir}},
		{exitUsage, "one BUNDLE", nil},
		{exitConfig, "infer.providers", []string{"--provider", "gpu", bundleDir}},
		{exitFailed, "model.yaml", []string{t.TempDir()}},
	} {
		if code := run(append([]string{"bench"}, tt.args...)...); code != tt.code || !strings.Contains(stderr.String(),
			tt.want) {
			t.Errorf("bench %v: exit %d, %q; want %d and %q", tt.args, code, stderr.String(), tt.code, tt.want)
		}
	}
}

// TestBenchTable compares what can be had: on a machine without a GPU one row, and why not the
// others.
func TestBenchTable(t *testing.T) {
	about, err := infer.About(infer.Config{})
	if err != nil {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	if about.Providers[0] != infer.CPU {
		t.Skipf("this ONNX Runtime has %s", about.Providers[0])
	}
	t.Setenv("TEST_AS_VGGSE_AGENT", "1")
	bundleDir := seededBundle(t)
	code, stdout, stderr := agentCmd(t, "bench", "--seconds", "0.1", "--threads", "1", "--set",
		"state_dir="+t.TempDir(), bundleDir)
	if code != exitDone || strings.Count(stdout, "  fp32  ") != 1 || !strings.Contains(stdout, "batch 1, 1 threads") ||
		!strings.Contains(stdout, "% (") {
		t.Errorf("bench: exit %d: %s%s", code, stdout, stderr)
	}
	if strings.Count(stderr, "\n") != 12 || !strings.Contains(stderr, "not fp32 on cuda: infer: open") ||
		!strings.Contains(stderr, "not int8 on cpu: model.precision: bundle ") {
		t.Errorf("bench says of the others: %s", stderr)
	}
	code, stdout, _ = agentCmd(t, "bench", "--seconds", "0.1", "--json", bundleDir)
	var line roofline.Result
	if err := json.Unmarshal([]byte(stdout), &line); code != exitDone || err != nil || line.Provider != "cpu" ||
		line.P50 <= 0 {
		t.Errorf("bench --json: exit %d, %v: %s", code, err, stdout)
	}
	if code, _, stderr := agentCmd(t, "bench", "--seconds", "0.1", "--set", "infer.library=/none.so",
		bundleDir); code != exitConfig || strings.Count(stderr, "/none.so is not a file") != 1 {
		t.Errorf("bench without a runtime: exit %d: %s", code, stderr)
	}
}

func TestUnder(t *testing.T) {
	// 1 G multiply-adds and 100 MB a picture, 50 pictures a second, under 100 G and 10 GB/s: ten
	// multiply-adds a byte.
	if r := roofline.Under(1e9, 100e6, 1, 50, 100, 10); r.Bound != "compute" || r.Share != 0.5 || r.Bandwidth != 5 {
		t.Errorf("at the ridge: %+v", r)
	}
	if r := roofline.Under(1e9, 100e6, 1, 50, 100, 8); r.Bound != "memory" || r.Share != 0.625 {
		t.Errorf("left of the ridge: %+v", r)
	}
	if r := roofline.Under(1e9, 100e6, 4, 50, 100, 8); r.Bound != "compute" || r.Bandwidth != 1.25 {
		t.Errorf("four pictures share the weights: %+v", r)
	}
	if r := roofline.Under(0, 100e6, 1, 50, 100, 8); r.Bound != "" {
		t.Errorf("a foreign network: %+v", r)
	}
}
