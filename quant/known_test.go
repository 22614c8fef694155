package quant_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/reference"
	"github.com/vggse/vggse-agent/vgg16se"
)

// TestCalibrateMakesKnown: a calibrated bundle tells pictures like those of its calibration from
// others, in the precision that runs, and a damaged file of that is refused.
func TestCalibrateMakesKnown(t *testing.T) {
	dir := seeded(t, vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 64, PoolSize: 1,
		Classes: 13})
	images := demoPictures(t, 104, 1, 64, 48)
	r, err := quant.Calibrate(t.Context(), quant.Options{Bundle: dir, Out: dir, Images: images,
		Method: quant.MinMax, TensorRT: "10.16", Workers: 2}, nil)
	if err != nil || len(r.Gate.Missed) > 0 {
		t.Fatalf("%v, %+v", err, r)
	}
	n, err := infer.OpenBundle(t.Context(), dir, "int8", infer.Config{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if k := n.Known(); k == nil || k.Width() != 64 || n.NoKnown() != "" {
		t.Errorf("%+v, %q", k, n.NoKnown())
	}
	if z := n.SignalSizes(); z.Features != 64 || len(z.Channels) != 5 {
		t.Errorf("the INT8 file gives %+v", z)
	}
	kept, err := reference.Read(t.Context(), n.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Width() != 64 || kept.Pictures < 50 || kept.Judged != "network" || kept.Precision != "fp32" ||
		!slices.Equal(kept.Labels, n.Bundle.Spec.Labels) || len(kept.Gates) != 5 ||
		len(kept.Gates[4]) != 7*64 || len(kept.Squeeze[0]) != 7*8 {
		t.Fatalf("kept: %d pictures of %d features, %q, %q", kept.Pictures, kept.Width(), kept.Judged, kept.Labels)
	}
	for c := range 64 { // the quantiles of a channel rise, between 0 and 1
		for q := range 6 {
			if low, high := kept.Gates[4][q*64+c], kept.Gates[4][(q+1)*64+c]; !(0 <= low && low <= high && high <= 1) {
				t.Fatalf("gate %d: quantiles %g, %g", c, low, high)
			}
		}
	}
	unknown(t, n, images)
	path := filepath.Join(dir, n.Bundle.Spec.Files[bundle.FileKnown].Path)
	text, err := os.ReadFile(path)
	if err := errors.Join(err, n.Close()); err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := errors.Join(os.Remove(path), os.WriteFile(path, text, 0o644)); err != nil {
		t.Fatal(err)
	}
	if n, err := infer.OpenBundle(t.Context(), dir, "int8", infer.Config{Threads: 1}); err == nil {
		t.Error("a damaged reference is taken")
		_ = n.Close()
	}
}

// unknown sees that of the pictures that were calibrated on few are unknown to n: they are judged by
// features of the precision that runs.
func unknown(t *testing.T, n *infer.Network, images string) {
	t.Helper()
	c, err := eval.NewClassifier(n, 1)
	if err != nil {
		t.Fatal(err)
	}
	c.UnknownBelow = 0.05
	all, err := filepath.Glob(filepath.Join(images, "*", "*"))
	if err != nil || len(all) < 50 {
		t.Fatal(all, err)
	}
	few := 0
	for _, path := range all[:50] {
		a, err := c.Classify(t.Context(), path)
		if err != nil || a.Unknown == nil {
			t.Fatalf("%+v, %v", a, err)
		}
		if *a.Unknown {
			few++
		}
	}
	if few > 10 {
		t.Errorf("%d of 50 pictures that were calibrated on are unknown", few)
	}
}
