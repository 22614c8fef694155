package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestTeachTakesWhatCalibrateMakes: INT8 of ranges that nothing was tried for is taught, with pictures
// for goldens and without, and what comes out is verified and taught again. Of a network of random
// weights the last layer makes much of how far rounding is off.
func TestTeachTakesWhatCalibrateMakes(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must := func(args ...string) { t.Helper(); mustAgent(t, args...) }
	must("demo-data", "--out", in("parts"), "--n", "52", "--seed", "5")
	parts, err := filepath.Glob(in("parts") + "/*/*.png")
	if err != nil || len(parts) != 52 {
		t.Fatalf("%d pictures: %v", len(parts), err)
	}
	for i, from := range parts { // as they lie in the folders of 13 classes
		to := in(fmt.Sprintf("pictures/class%d", i*3/len(parts)))
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(from, filepath.Join(to, fmt.Sprintf("%d.png", i))); err != nil {
			t.Fatal(err)
		}
	}
	must("new", "--out", in("new"), "--classes", "3", "--width", "0.0625", "--hidden", "16", "--input", "32", "--pool",
		"1")
	must("teach", in("new"), "--images", in("pictures"), "--out", in("taught"))
	must("verify", in("taught"))
	for _, goldens := range []string{"pictures", "none"} {
		made, taught, again := in("int8-"+goldens), in("taught-"+goldens), in("again-"+goldens)
		must("calibrate", "--bundle", in("new"), "--images", in("pictures"), "--out", made, "--method", "minmax",
			"--budget", "none", "--min-agreement", "0", "--seconds", "0", "--goldens", goldens)
		must("teach", made, "--images", in("pictures"), "--out", taught)
		bundles := []string{made, taught}
		// random features may miss the gate, which is no refusal
		code, _, stderr := agentCmd(t, "teach", taught, "--add-only", "--images", in("pictures"), "--out", again)
		switch code {
		case exitDone:
			bundles = append(bundles, again)
		case exitGate:
		default:
			t.Errorf("teach again: exit %d, %s", code, stderr)
		}
		for _, bundle := range bundles {
			must("verify", bundle)
			must("verify", bundle, "--precision", "fp32")
			must("classify", "--bundle", bundle, parts[0])
		}
	}
}
