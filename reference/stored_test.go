package reference

import (
	"bytes"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// written is a folder with what is kept of the pictures, as a bundle that is read from.
func written(t *testing.T, s *Stored) *bundle.Bundle {
	t.Helper()
	b := &bundle.Bundle{Dir: t.TempDir()}
	f, err := s.Write(t.Context(), b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.Files = map[string]bundle.File{bundle.FileReference: f}
	return b
}

// TestStored: what is kept is read back, wide features as far as their directions hold them, the
// channels by their quantiles, and the same pictures give the same bytes.
func TestStored(t *testing.T) {
	labels := []string{"a", "b", "none of these"}
	for _, width := range []int{40, 700} {
		pictures := clouds(1, 410, 2, width, 0.5)
		for i := range pictures {
			s := vision.SignalSizes{Channels: []int{2}}.New()
			s.Squeeze[0][0], s.Squeeze[0][1], s.Gates[0][0] = float32(i), 7, float32(i)/409
			pictures[i].Signals = s
		}
		s, err := Store(pictures, labels)
		if err != nil {
			t.Fatal(err)
		}
		s.Precision = "fp32"
		b := written(t, s)
		got, err := Read(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Class) != 2*storedOfClass || got.Pictures != 410 || got.Precision != "fp32" ||
			got.Judged != "folders" || got.Width() != width || got.Dims() != min(width, storedDims) ||
			!got.Has("b") || got.Has("none of these") || !slices.Equal(got.Labels, labels) {
			t.Errorf("width %d: %d of %d pictures, %d of %d features, %q", width, len(got.Class), got.Pictures,
				got.Dims(), got.Width(), got.Precision)
		}
		worst, row := 0.0, make([]float32, width)
		for i := range got.Class {
			got.Features(i, row) // the first 200 of each of two classes are the first 400
			for k, v := range pictures[i].Features {
				worst = max(worst, math.Abs(float64(row[k]-v)))
			}
		}
		if worst > 0.02 {
			t.Errorf("width %d: features %g off", width, worst)
		}
		want := []float32{4, 7, 20, 7, 102, 7, 205, 7, 307, 7, 389, 7, 405, 7}
		if !slices.Equal(got.Squeeze[0], want) || len(got.Gates[0]) != 14 || got.Gates[0][12] != float32(405)/409 {
			t.Errorf("squeeze %v, want %v; gates %v", got.Squeeze, want, got.Gates)
		}
		middle, spread := got.Usual([]int{2})
		if !slices.Equal(middle, []float32{float32(205) / 409, 0}) ||
			math.Abs(float64(spread[0])-369.0/409/3.2897) > 1e-5 || spread[1] != 0 {
			t.Errorf("usual: %v ± %v", middle, spread)
		}
		if middle, _ := got.Usual([]int{3}); middle != nil {
			t.Errorf("usual of other blocks: %v", middle)
		}
		again, err := Store(pictures, labels)
		if err != nil {
			t.Fatal(err)
		}
		again.Precision = "fp32"
		if x := written(t, again).Spec.Files; !maps.Equal(x, b.Spec.Files) {
			t.Errorf("the same pictures gave %v and %v", b.Spec.Files, x)
		}
	}
}

// TestMoments: the mean of a class and the spread around it, by hand.
func TestMoments(t *testing.T) {
	var pictures []Picture
	for _, x := range [][]float32{{0, 1}, {2, 1}, {10, 3}, {10, 7}} {
		pictures = append(pictures, Picture{Class: len(pictures) / 2, Features: x})
	}
	s, err := Store(pictures, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	// The mean is 5.5, 3; around their classes the features spread by ±1, 0, 0 and by 0, 0, ±2.
	if !slices.Equal(s.Mean, []float32{5.5, 3}) || !slices.Equal(s.Means, []float32{-4.5, -2, 4.5, 2}) ||
		!slices.Equal(s.Covariance, []float32{0.5, 0, 0, 2}) {
		t.Errorf("mean %v, means %v, covariance %v", s.Mean, s.Means, s.Covariance)
	}
	if s, err := Store(nil, []string{"a"}); s != nil || err != nil {
		t.Errorf("of no pictures: %v %v", s, err)
	}
}

// TestHostileReference: a file that is not what it should be is refused in one sentence.
func TestHostileReference(t *testing.T) {
	s, err := Store(clouds(2, 60, 3, 30, 0.5), []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		spoil func(*Stored)
		says  string
	}{
		"a class too many": {func(s *Stored) { s.Class[3] = 3 }, "there is no label 3"},
		"no number":        {func(s *Stored) { s.Mean[4] = nan }, "mean holds what is no number"},
		"infinite":         {func(s *Stored) { s.Coordinates[0] = 1e6 }, "coordinates holds what is no number"},
		"labels too few": {func(s *Stored) {
			s.Labels, s.Means = s.Labels[:2], s.Means[:2*s.Dims()]
		}, "there is no label 2"},
		"no labels": {func(s *Stored) { s.Labels, s.Means = nil, nil }, "which labels"},
	} {
		own := *s
		own.Class, own.Mean, own.Coordinates = slices.Clone(s.Class), slices.Clone(s.Mean), slices.Clone(s.Coordinates)
		c.spoil(&own)
		b := &bundle.Bundle{Dir: t.TempDir(), Spec: bundle.Spec{Files: map[string]bundle.File{}}}
		if b.Spec.Files[bundle.FileReference], err = own.Write(t.Context(), b.Dir); err == nil {
			_, err = Read(t.Context(), b)
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	b := written(t, s)
	path := filepath.Join(b.Dir, bundle.ReferenceName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(text, []byte("[60,30]"), []byte("[90,20]"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), b); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("a changed file: %v", err)
	}
	f, err := checkpoint.Open(path, "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := read(f); err == nil || !strings.Contains(err.Error(), "has a shape that it cannot have") {
		t.Errorf("other shapes: %v", err)
	}
	if s, err := Read(t.Context(), &bundle.Bundle{}); s != nil || err != nil {
		t.Errorf("a bundle without one: %v %v", s, err)
	}
}
