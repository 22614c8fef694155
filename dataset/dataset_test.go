package dataset

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// drawn writes a picture of one colour, its own for each shade.
func drawn(t *testing.T, path string, shade int) string {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	for i := range 64 {
		img.SetNRGBA(i%8, i/8, color.NRGBA{uint8(shade), uint8(shade), uint8(shade), 255})
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(png.Encode(f, img), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// numbered are n pictures that nobody reads.
func numbered(from, to int) (all []Picture) {
	for i := from; i < to; i++ {
		all = append(all, Picture{Path: fmt.Sprintf("%04d.png", i), SHA256: fmt.Sprintf("%064d", i), Label: i % 3})
	}
	return all
}

// Labels are the folders that are named so; copies are left out, and said; the order is that of the
// digests, wherever the files lie.
func TestList(t *testing.T) {
	dir := t.TempDir()
	in := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for i, path := range []string{in("nut", "1.png"), in("nut", "2.png"), in("bolt", "1.png"), in("else", "x", "bolt",
		"3.png"), in("other", "1.png"), in("top.png")} {
		drawn(t, path, 10*i)
	}
	labels := []string{"bolt", "nut"}
	all, found, err := List(t.Context(), dir, labels)
	if err != nil || len(all) != 6 || len(found) != 0 {
		t.Fatalf("%d pictures, %v, %v", len(all), found, err)
	}
	if !slices.IsSortedFunc(all, func(a, b Picture) int { return strings.Compare(a.SHA256, b.SHA256) }) {
		t.Errorf("not in the order of the digests: %v", all)
	}
	for _, p := range all {
		want := map[string]int{"bolt": 0, "nut": 1}
		label, known := want[filepath.Base(filepath.Dir(p.Path))]
		if !known {
			label = -1
		}
		if p.Label != label || len(p.SHA256) != 64 {
			t.Errorf("%+v, want label %d", p, label)
		}
	}
	drawn(t, in("bolt", "copy.png"), 0) // that of nut/1.png
	drawn(t, in("else", "copy.png"), 0)
	again, found, err := List(t.Context(), dir, labels)
	if err != nil || len(again) != 6 || len(found) != 1 || found[0].Check != "copies" || found[0].Severity != "warn" ||
		!strings.HasPrefix(found[0].Evidence, "2 of 8 files") {
		t.Errorf("%d pictures, %+v, %v", len(again), found, err)
	}
	for i := range again {
		if again[i].SHA256 != all[i].SHA256 {
			t.Errorf("place %d is another picture now", i)
		}
	}
}

func TestListRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := List(t.Context(), dir, nil); err == nil || !strings.Contains(err.Error(), "no picture in it") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, _, err := List(t.Context(), filepath.Join(dir, "none"), nil); err == nil ||
		!strings.Contains(err.Error(), "no such picture or folder") {
		t.Errorf("no folder: %v", err)
	}
	drawn(t, filepath.Join(dir, "a.png"), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := List(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Every picture is in one part; what is fitted to is not evaluated on, and choices begin with those
// that nothing is fitted to.
func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name                string
		files, eval         []Picture
		fit, fresh, heldOut int
	}{
		{"a hundred", numbered(0, 100), nil, 64, 16, 20},
		{"two", numbered(0, 2), nil, 1, 0, 1},
		{"six", numbered(0, 6), nil, 4, 1, 1},
		{"ten thousand", numbered(0, 10000), nil, 7488, chooseMost, 2000},
		{"others to evaluate on", numbered(0, 100), numbered(200, 210), 80, 20, 10},
		{"some of them in both", numbered(0, 100), numbered(90, 110), 72, 18, 20},
		{"all but one in both", numbered(0, 10), numbered(1, 10), 1, 0, 9},
	} {
		before := slices.Clone(tt.files)
		fit, choose, heldOut, err := Split(tt.files, tt.eval)
		if err != nil || len(fit) != tt.fit || len(choose) != tt.fit+tt.fresh || len(heldOut) != tt.heldOut {
			t.Errorf("%s: %d to fit to, %d to choose on, %d held out, %v; want %d, %d more and %d", tt.name, len(fit),
				len(choose), len(heldOut), err, tt.fit, tt.fresh, tt.heldOut)
			continue
		}
		if !slices.Equal(choose[tt.fresh:], fit) {
			t.Errorf("%s: choices do not go on with what is fitted to", tt.name)
		}
		held := map[string]bool{}
		for _, p := range heldOut {
			held[p.SHA256] = true
		}
		for _, p := range choose {
			if held[p.SHA256] {
				t.Errorf("%s: %s is evaluated on, too", tt.name, p.Path)
			}
		}
		if !slices.Equal(tt.files, before) {
			t.Errorf("%s: the list was changed", tt.name)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, tt := range []struct {
		files, eval []Picture
		want        string
	}{
		{numbered(0, 1), nil, "1 different picture cannot be divided"},
		{nil, nil, "0 different pictures cannot be divided"},
		{numbered(0, 5), numbered(0, 5), "hold the same pictures"},
		{numbered(0, 5), numbered(0, 50), "hold the same pictures"},
	} {
		if _, _, _, err := Split(tt.files, tt.eval); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d and %d pictures: %v, want …%s…", len(tt.files), len(tt.eval), err, tt.want)
		}
	}
}

// Halves go by the names within a folder, in whatever order the pictures come.
func TestHalves(t *testing.T) {
	var pictures []Picture
	want := map[string]int{"a/1": 0, "a/2": 0, "a/3": 1, "a/4": 1, "b/1": 0, "b/2": 0, "b/3": 1, "c/1": 0}
	for path := range want { // in any order
		pictures = append(pictures, Picture{Path: path})
	}
	for i, half := range Halves(pictures) {
		if p := pictures[i].Path; half != want[p] {
			t.Errorf("%s is in half %d, want %d", p, half, want[p])
		}
	}
}

// preprocess leaves grey levels as they are.
var preprocess = vision.Preprocess{Resize: vision.ResizeSquash, Filter: "area", Channels: "rgb", Scale: 1,
	Std: [3]float64{1, 1, 1}}

func setOf(t *testing.T, n, cacheBytes int) *Set {
	t.Helper()
	dir := t.TempDir()
	var all []Picture
	for i := range n {
		all = append(all, Picture{Path: drawn(t, filepath.Join(dir, fmt.Sprint(i, ".png")), 10*i), Label: i})
	}
	return New(all, preprocess, 4, cacheBytes)
}

// Workers share a set: each picture comes once, its tensor with its label, until the end; Rewind
// begins anew.
func TestSetNext(t *testing.T) {
	s := setOf(t, 12, 0)
	for range 2 {
		var mu sync.Mutex
		var group sync.WaitGroup
		seen := map[int]int{}
		for range 3 {
			group.Go(func() {
				x := vision.NewTensor(1, 3, 4, 4)
				for {
					place, label, err := s.Next(t.Context(), x)
					if errors.Is(err, io.EOF) {
						return
					}
					if err != nil || label != place || x.Data[0] != float32(10*place) {
						t.Errorf("place %d, label %d, %g, %v", place, label, x.Data[0], err)
						return
					}
					mu.Lock()
					seen[place]++
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if len(seen) != 12 {
			t.Errorf("saw %v", seen)
		}
		s.Rewind()
	}
	if len(s.readers) > 3 {
		t.Errorf("%d readers for 3 workers", len(s.readers))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := s.Next(ctx, vision.NewTensor(1, 3, 4, 4)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The inspector sees the frame itself, before it is scaled and prepared.
func TestSetNextFrame(t *testing.T) {
	s, x, width := setOf(t, 1, 1<<20), vision.NewTensor(1, 3, 4, 4), 0
	place, label, err := s.NextFrame(t.Context(), x, func(place int, f *vision.Frame) error {
		width = f.Width + place
		return nil
	})
	if place != 0 || label != 0 || err != nil || width != 8 {
		t.Errorf("place %d, label %d, %d pixels wide, %v", place, label, width, err)
	}
	if _, _, err := s.NextFrame(t.Context(), x, nil); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
}

// What is in memory is not read again; what found no room is. A part shares the memory.
func TestSetCache(t *testing.T) {
	const one = 4 * 3 * 4 * 4 // bytes of a tensor
	s, x := setOf(t, 4, 2*one+1), vision.NewTensor(1, 3, 4, 4)
	for i := range 4 {
		if err := s.Load(i, x); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		if err := os.Remove(s.Pictures[i].Path); err != nil {
			t.Fatal(err)
		}
	}
	part := s.Part(3)
	if part.Len() != 3 || s.Part(99).Len() != 4 {
		t.Errorf("parts of %d and %d pictures", part.Len(), s.Part(99).Len())
	}
	for i := range 3 {
		clear(x.Data)
		err := part.Load(i, x)
		if kept := i < 2; (err == nil) != kept || kept && x.Data[0] != float32(10*i) {
			t.Errorf("picture %d: %v, %g", i, err, x.Data[0])
		}
	}
	if bare := setOf(t, 1, 0); bare.cache != nil {
		t.Error("a set without room has a cache")
	}
}

// What is kept is a copy: the worker's tensor is its own.
func TestCacheCopies(t *testing.T) {
	c, x := newCache(1000), vision.NewTensor(1, 3, 2, 2)
	x.Data[0] = 7
	c.store(5, x)
	x.Data[0] = 8
	c.store(5, x) // is there already
	if x.Data[0] = 0; !c.load(5, x) || x.Data[0] != 7 || c.bytes != 4*len(x.Data) {
		t.Errorf("%g, %d bytes", x.Data[0], c.bytes)
	}
	if c.load(6, x) || (*cache)(nil).load(5, x) {
		t.Error("something was loaded that nobody stored")
	}
	x.Data[0] = 9
	if c.load(5, vision.NewTensor(1, 3, 2, 2)); c.tensors[5][0] != 7 {
		t.Error("a loaded tensor is the kept one")
	}
}
