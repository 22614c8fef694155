package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/quant"
)

// What a daemon keeps of its camera calibrates its network: the folder is given to calibrate as it
// is.
func TestSamplesCalibrate(t *testing.T) {
	needRuntime(t)
	broker, pictures, kept := startMosquitto(t), filepath.Join(t.TempDir(), "pictures"),
		filepath.Join(t.TempDir(), "kept")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", pictures, "--n", "60", "--size",
		"160x120"); code != exitDone {
		t.Fatal(stderr)
	}
	all := filepath.Join(t.TempDir(), "all") // one folder: a film of every class
	if err := os.Mkdir(all, 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(pictures, "*", "*.png"))
	if err != nil || len(files) != 60 {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	for _, f := range files {
		if err := os.Link(f, filepath.Join(all, filepath.Base(filepath.Dir(f))+filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	bundleDir, out := seededBundle(t), filepath.Join(t.TempDir(), "out")
	code, _, stderr := agentCmd(t, "run", "--bundle", bundleDir, "--source", "file://"+all+"?fps=10", "--broker",
		"tcp://"+broker.addr(),
		"--set", "samples.dir="+kept, "--set", "samples.below=1", "--set", "samples.gap=0s", "--set",
		"samples.count=40")
	if code != exitDone {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	code, stdout, stderr := agentCmd(t, "calibrate", "--bundle", bundleDir, "--images", kept, "--out", out, "--budget",
		"none", "--min-agreement", "0", "--seconds", "0", "--json")
	if code != exitDone && code != exitGate { // so small a network may be no faster in INT8
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var r quant.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	held, err := filepath.Glob(filepath.Join(kept, "*.png")) // 40, or what a slow machine classified of the 60
	if p := r.Pictures; err != nil || len(held) == 0 || len(held) > 40 ||
		p.Calibration+p.Choice+p.HeldOut != len(held) || len(r.Files) == 0 {
		t.Errorf("%d pictures are kept, of at most 40; %+v, %d files, %v", len(held), p, len(r.Files), err)
	}
}
