package quant_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
)

// TestCalibrateMakesKnown: a calibrated bundle tells pictures like those of its calibration from
// others, in the precision that runs, and a damaged file of that is refused.
func TestCalibrateMakesKnown(t *testing.T) {
	dir := seeded(t, vgg16se.Architecture{InputSize: 32, Width: 0.125, Reduction: 4, Hidden: 64, PoolSize: 1,
		Classes: 13})
	r, err := quant.Calibrate(t.Context(), quant.Options{Bundle: dir, Out: dir, Images: demoPictures(t, 104, 1, 64, 48),
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
