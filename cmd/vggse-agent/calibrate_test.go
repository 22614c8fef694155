package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/quant"
)

// agentSays runs one command line.
func agentSays(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(context.Background(), args, &out, &err)
	return code, out.String(), err.String()
}

// TestCalibrate: a bundle is calibrated, its report on stdout; a gate that is missed is exit code 3
// and leaves no model.
func TestCalibrate(t *testing.T) {
	needRuntime(t)
	dir := t.TempDir()
	pictures, out := filepath.Join(dir, "pictures"), filepath.Join(dir, "out")
	if code, _, stderr := agentSays("demo-data", "--out", pictures, "--n", "26", "--size", "96x64"); code != exitDone {
		t.Fatal(stderr)
	}
	args := []string{"calibrate", "--bundle", seededBundle(t), "--images", pictures, "--method", "minmax", "--seconds",
		"0", "--json", "--out", out}
	for _, tt := range []struct {
		budget string
		code   int
	}{{"150dB", exitGate}, {"none", exitDone}} {
		code, stdout, stderr := agentSays(append(args, "--min-agreement", "0", "--budget", tt.budget)...)
		var r quant.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != tt.code ||
			(code == exitGate) != (len(r.Gate.Missed) > 0) {
			t.Fatalf("%s: exit %d, %v, missed %v, %s", tt.budget, code, err, r.Gate.Missed, stderr)
		}
		_, err := bundle.Open(out)
		if (err == nil) != (code == exitDone) {
			t.Errorf("exit %d, and the bundle: %v", code, err)
		}
		if err := os.RemoveAll(out); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCalibrateRefuses(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.WriteFile(filepath.Join(other, "x"), func(w io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--bundle", "b"}, exitUsage, "--out DIR"},
		{[]string{"--bundle", "b", "--out", "o"}, exitUsage, "--images DIR or --camera URI"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--camera", "c"}, exitUsage, "one of them"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--tensorrt", "new"}, exitUsage, "--tensorrt"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--method", "kl"}, exitUsage, "--method"},
		{[]string{"--bundle", "b", "--out", "o", "--images", "i", "--min-agreement", "99"}, exitUsage, "0 to 1"},
		{[]string{"--bundle", other, "--out", "o", "--images", "i"}, exitFailed, "is not a bundle"},
	} {
		code, stdout, stderr := agentSays(append([]string{"calibrate"}, tt.args...)...)
		if code != tt.code || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit %d, %q, want %d and %q", tt.args, code, stderr, tt.code, tt.want)
		}
	}
}

// The ONNX Runtime that the configuration names is the one that works, and no other.
func TestCalibrateAndPruneUseTheLibraryThatIsNamed(t *testing.T) {
	dir := t.TempDir()
	none := filepath.Join(dir, "libonnxruntime.so")
	if err := os.WriteFile(none, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	source := seededBundle(t)
	for _, args := range [][]string{
		{"calibrate", "--bundle", source, "--images", dir, "--out", filepath.Join(dir, "out")},
		{"prune", source, "--images", dir, "--target", "2x", "--out", filepath.Join(dir, "out")},
	} {
		code, _, stderr := agentSays(append(args, "--set", "infer.library="+none)...)
		if code != exitFailed || !strings.Contains(stderr, none) {
			t.Errorf("%s: exit %d: %s", args[0], code, stderr)
		}
	}
}
