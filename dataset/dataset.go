// Package dataset is pictures on disk, for calibration, pruning and evaluation: it lists, divides
// and reads them, and says what speaks against them.
package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// Picture is one file.
type Picture struct {
	Path   string
	SHA256 string
	Label  int    // index of its class, -1 where no folder above it is named like a label
	Folder string // the label; of a picture without one the folder that could be a new one's
}

// List is every different picture under dir, in the order of their digests: as good as drawn, and
// always the same. Its label is that of the nearest folder above it that is named like one, up to dir.
// The findings count copies, pictures that lie deeper than in the folder of their label, and files of
// other kinds, where there are some.
func List(ctx context.Context, dir string, labels []string) ([]Picture, []Finding, error) {
	return list(ctx, dir, labels, nil)
}

// ListTaught is List, where folders that are named like none of the labels stand for further ones: added are
// their names, as Folders has them, and their indices go on behind those of labels.
func ListTaught(ctx context.Context, dir string, labels, added []string) ([]Picture, []Finding, error) {
	return list(ctx, dir, labels, added)
}

func list(ctx context.Context, dir string, labels, added []string) ([]Picture, []Finding, error) {
	paths, err := Files(dir)
	if err != nil {
		return nil, nil, err
	}
	places := placesOf(dir, paths, labels)
	var all []Picture
	for i, p := range paths {
		digest, err := atomicfile.HashFile(ctx, p)
		if err != nil {
			return nil, nil, err
		}
		class := places[i].class
		if k := slices.Index(added, places[i].label); class < 0 && k >= 0 && places[i].depth > 0 {
			class = len(labels) + k
		}
		all = append(all, Picture{p, digest, class, places[i].label})
	}
	slices.SortFunc(all, func(a, b Picture) int { return strings.Compare(a.SHA256+a.Path, b.SHA256+b.Path) })
	different := slices.CompactFunc(slices.Clone(all), func(a, b Picture) bool { return a.SHA256 == b.SHA256 })
	var found []Finding
	if n := len(all) - len(different); n > 0 {
		found = append(found, Finding{Check: "copies", Severity: "warn",
			Evidence: fmt.Sprintf("%d of %d files in %s %s, byte for byte, and %s left out", n, len(all), dir,
				round.Plural(n, "is a copy of another", "are copies of others"), round.Plural(n, "was", "were")),
			Cure: "take pictures at different times"})
	}
	found = append(found, deeper(dir, places, added != nil)...)
	return different, append(found, LeftOut(dir)...), nil
}

// LeftOut counts the pictures below dir of kinds that are not read, where there are some.
func LeftOut(dir string) []Finding {
	n := Others(dir)
	if n == "" {
		return nil
	}
	return []Finding{{Check: "other files", Severity: "warn",
		Evidence: fmt.Sprintf("%s in %s were left out: only %s are read", n, dir,
			strings.Join(camera.PictureTypes, ", ")),
		Cure: "convert them to PNG or JPEG"}}
}

// heldOutPart is the part of the pictures that is evaluated on where nobody gives others.
const heldOutPart = 5

// choosePart is the part of the rest that choices are made on and nothing is fitted to, chooseMost
// the most of it.
const (
	choosePart = 5
	chooseMost = 512
)

// Split divides the pictures of List. heldOut is eval, whose pictures the others then lose, or a
// fifth of all. fit is what to fit to. choose begins with those that are neither, a fifth of the
// rest, and goes on with fit.
func Split(files, eval []Picture) (fit, choose, heldOut []Picture, err error) {
	if len(eval) > 0 {
		heldOut = eval
		if files, err = without(files, eval); err != nil {
			return nil, nil, nil, err
		}
	} else {
		n := min(len(files), max(1, len(files)/heldOutPart))
		heldOut, files = files[:n], files[n:]
	}
	if len(files) == 0 || len(heldOut) == 0 {
		n := len(files) + len(heldOut)
		return nil, nil, nil, fmt.Errorf("%d different %s cannot be divided into some to calibrate on and some to "+
			"judge on: 100 or more are wanted", n, pictures(n))
	}
	return files[min(len(files)/choosePart, chooseMost):], files, heldOut, nil
}

// without removes from files what is also held out.
func without(files, heldOut []Picture) ([]Picture, error) {
	held := map[string]bool{}
	for _, p := range heldOut {
		held[p.SHA256] = true
	}
	files = slices.DeleteFunc(slices.Clone(files), func(p Picture) bool { return held[p.SHA256] })
	if len(files) == 0 {
		return nil, errors.New("--images and --eval hold the same pictures: a file that is judged on what it was " +
			"made with always looks good")
	}
	return files, nil
}

// Set hands out preprocessed pictures to workers. Readers are kept between pictures: each has
// buffers and tables of its own.
type Set struct {
	Pictures []Picture

	preprocess vision.Preprocess
	size       int
	cache      *cache // nil: none
	kept       *Store // nil: none

	mu      sync.Mutex
	next    int
	readers []*reader
}

type reader struct {
	prep  *vision.Preprocessor
	frame vision.Frame
}

// New is a set of pictures that are prepared for an input of size×size. Up to cacheBytes of tensors
// stay in memory.
func New(pictures []Picture, p vision.Preprocess, size, cacheBytes int) *Set {
	s := &Set{Pictures: pictures, preprocess: p, size: size}
	if cacheBytes > 0 {
		s.cache = newCache(cacheBytes)
	}
	return s
}

// Keep makes the set take prepared pictures from s, and put them there. All sets of a store have the
// same preprocessing and size.
func (s *Set) Keep(kept *Store) { s.kept = kept }

// Len is the number of pictures.
func (s *Set) Len() int { return len(s.Pictures) }

// Rewind lets Next start over.
func (s *Set) Rewind() { s.next = 0 }

// Part is the first n pictures of the set, as a set of its own that shares the memory.
func (s *Set) Part(n int) *Set {
	return &Set{
		Pictures:   s.Pictures[:min(n, len(s.Pictures))],
		preprocess: s.preprocess,
		size:       s.size,
		cache:      s.cache,
		kept:       s.kept,
	}
}

// At are the pictures at the given places, in that order, as a set of their own.
func (s *Set) At(places []int) *Set {
	at := &Set{preprocess: s.preprocess, size: s.size, kept: s.kept}
	for _, p := range places {
		at.Pictures = append(at.Pictures, s.Pictures[p])
	}
	return at
}

// Next reads the next picture into t, 1×3×S×S, and returns its place and label; io.EOF after the
// last. Workers may call it at the same time, each with a tensor of its own.
func (s *Set) Next(ctx context.Context, t *vision.Tensor) (place, label int, err error) {
	place, err = s.turn(ctx)
	if err != nil {
		return 0, 0, err
	}
	return place, s.Pictures[place].Label, s.Load(place, t)
}

// NextFrame is Next, and inspect sees the frame, too: the picture is decoded even where it is kept.
func (s *Set) NextFrame(ctx context.Context, t *vision.Tensor, inspect func(place int, f *vision.Frame) error) (place,
	label int, err error) {
	place, err = s.turn(ctx)
	if err != nil {
		return 0, 0, err
	}
	p := &s.Pictures[place]
	err = s.with(p, func(r *reader) error {
		if err := r.prepare(p, t); err != nil {
			return err
		}
		s.kept.store(p.SHA256, t)
		return inspect(place, &r.frame)
	})
	return place, p.Label, err
}

// turn is the place of the next picture.
func (s *Set) turn(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == len(s.Pictures) {
		return 0, io.EOF
	}
	s.next++
	return s.next - 1, nil
}

// Load reads the picture at a place into t.
func (s *Set) Load(place int, t *vision.Tensor) error {
	p := &s.Pictures[place]
	if s.cache.load(place, t) || s.kept.load(p.SHA256, t) {
		return nil
	}
	if err := s.with(p, func(r *reader) error { return r.prepare(p, t) }); err != nil {
		return err
	}
	s.cache.store(place, t)
	s.kept.store(p.SHA256, t)
	return nil
}

// prepare makes the tensor of the frame, which is that of p.
func (r *reader) prepare(p *Picture, t *vision.Tensor) error {
	if err := r.prep.Apply(&r.frame, t, 0); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

// with reads a picture into the frame of a reader that nobody else has in hand, and lets do work
// with it.
func (s *Set) with(p *Picture, do func(r *reader) error) error {
	r, err := s.reader()
	if err != nil {
		return err
	}
	if err := camera.ReadPicture(p.Path, &r.frame, s.preprocess.Upright()); err != nil {
		return err
	}
	if err := do(r); err != nil {
		return err
	}
	s.mu.Lock()
	s.readers = append(s.readers, r)
	s.mu.Unlock()
	return nil
}

func (s *Set) reader() (*reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.readers); n > 0 {
		r := s.readers[n-1]
		s.readers = s.readers[:n-1]
		return r, nil
	}
	prep, err := vision.NewPreprocessor(s.preprocess, s.size)
	return &reader{prep: prep}, err
}

// Halves says for each picture whether it is one of the first of its folder, by name, or of the
// last: 0 or 1.
func Halves(pictures []Picture) []int {
	order := make([]int, len(pictures))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(pictures[a].Path, pictures[b].Path) })
	folders, seen, half := map[string]int{}, map[string]int{}, make([]int, len(pictures))
	for i := range pictures {
		folders[filepath.Dir(pictures[i].Path)]++
	}
	for _, i := range order {
		dir := filepath.Dir(pictures[i].Path)
		half[i] = min(1, 2*seen[dir]/folders[dir])
		seen[dir]++
	}
	return half
}
