package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

func TestBench(t *testing.T) {
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	}
	bundle := filepath.Join(t.TempDir(), "tiny")
	var stdout, stderr bytes.Buffer
	run := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return execute(t.Context(), args, &stdout, &stderr)
	}
	if code := run("new", "--out", bundle, "--width", "0.125", "--input", "32", "--hidden", "8", "--classes", "3"); code != exitDone {
		t.Fatalf("new: exit %d: %s", code, stderr.String())
	}
	if code := run("bench", "--json", "--provider", "cpu", "--threads", "1", "--batch", "2", "--seconds", "0.1", bundle); code != exitDone {
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
	for _, key := range []string{"p50_ms", "p90_ms", "p99_ms", "images_per_s", "rss_mb", "gmacs_per_s", "runs", "load_ms"} {
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
		{exitUsage, "--seconds", []string{"--seconds", "0", bundle}},
		{exitUsage, "--batch", []string{"--batch", "0", bundle}},
		{exitUsage, "one BUNDLE", nil},
		{exitConfig, "infer.providers", []string{"--provider", "gpu", bundle}},
		{exitFailed, "model.yaml", []string{t.TempDir()}},
	} {
		if code := run(append([]string{"bench"}, tt.args...)...); code != tt.code || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("bench %v: exit %d, %q; want %d and %q", tt.args, code, stderr.String(), tt.code, tt.want)
		}
	}
}
