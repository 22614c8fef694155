package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// heldOutPart is the part of --images that is judged on where there is no --eval.
const heldOutPart = 5

// freshPart is the part of the rest that choices are made on and no range is collected from, freshMost the most of it.
const (
	freshPart = 5
	freshMost = 512
)

// sample is one file of a set.
type sample struct {
	path, digest string
	label        int // -1 where its folder is not named like a label
}

// pictureSet hands out pictures to workers, in no particular order. Readers are kept between pictures:
// each has buffers and tables of its own.
type pictureSet struct {
	files  []sample
	spec   *bundle.Spec
	judge  *quant.Judge // who knows what FP32 says of them; nil where nobody asks
	memory *memory      // nil: none

	mu      sync.Mutex
	next    int
	readers []*pictureReader
}

type pictureReader struct {
	prep  *vision.Preprocessor
	frame vision.Frame
}

// pictures finds, hashes and divides the pictures.
func (c *calibration) pictures(ctx context.Context) error {
	dir := c.images
	if c.camera != "" {
		dir = c.path("frames")
		if err := c.takeFrames(ctx, dir); err != nil {
			return err
		}
	}
	all, err := c.list(ctx, dir)
	if err != nil {
		return err
	}
	var held []sample
	if c.eval != "" {
		if held, err = c.list(ctx, c.eval); err != nil {
			return err
		}
		if all, err = apart(all, held); err != nil {
			return err
		}
	} else { // files stand in the order of their digests: as good as drawn, and always the same
		n := max(1, len(all)/heldOutPart)
		held, all = all[:n], all[n:]
	}
	if len(all) == 0 || len(held) == 0 {
		return fmt.Errorf("%d different pictures cannot be divided into some to calibrate on and some to judge on: 100 or more are wanted", len(all)+len(held))
	}
	fresh := min(len(all)/freshPart, freshMost)
	c.choice = c.judgedSet(all) // what is not calibrated on stands first
	c.choice.memory = &memory{tensors: map[int][]float32{}}
	all = all[fresh:]
	c.tune = &pictureSet{files: all, spec: &c.bundle.Spec}
	c.held = c.judgedSet(held)
	set := sha256.New()
	for _, p := range all {
		io.WriteString(set, p.digest)
	}
	c.report.Pictures = quant.Pictures{Calibration: len(all), Choice: fresh, HeldOut: len(held), SHA256: hex.EncodeToString(set.Sum(nil)),
		Labelled: slices.ContainsFunc(held, func(p sample) bool { return p.label >= 0 })}
	return nil
}

// judgedSet is a set with a judge of its own.
func (c *calibration) judgedSet(files []sample) *pictureSet {
	return &pictureSet{files: files, spec: &c.bundle.Spec, judge: quant.NewJudge(len(c.bundle.Spec.Labels))}
}

// list is every different picture under dir, by digest.
func (c *calibration) list(ctx context.Context, dir string) ([]sample, error) {
	paths, err := pictures([]string{dir})
	if err != nil {
		return nil, err
	}
	var all []sample
	for _, p := range paths {
		digest, err := atomicfile.HashFile(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, sample{p, digest, slices.Index(c.bundle.Spec.Labels, filepath.Base(filepath.Dir(p)))})
	}
	slices.SortFunc(all, func(a, b sample) int { return strings.Compare(a.digest+a.path, b.digest+b.path) })
	different := slices.CompactFunc(slices.Clone(all), func(a, b sample) bool { return a.digest == b.digest })
	if n := len(all) - len(different); n > 0 {
		c.report.Findings = append(c.report.Findings, quant.Finding{Check: "copies", Severity: "warn",
			Evidence: fmt.Sprintf("%d of %d files in %s are copies of others, byte for byte, and were left out", n, len(all), dir),
			Cure:     "take pictures at different times"})
	}
	return different, nil
}

// apart removes from all what is also held out.
func apart(all, held []sample) ([]sample, error) {
	judged := map[string]bool{}
	for _, p := range held {
		judged[p.digest] = true
	}
	all = slices.DeleteFunc(all, func(p sample) bool { return judged[p.digest] })
	if len(all) == 0 {
		return nil, errors.New("--images and --eval hold the same pictures: a file that is judged on what it was made with always looks good")
	}
	return all, nil
}

// lossless writes frames of a camera.
var lossless = png.Encoder{CompressionLevel: png.BestSpeed}

// takeFrames saves frames of the camera as pictures.
func (c *calibration) takeFrames(ctx context.Context, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	s, err := camera.Open(ctx, camera.Config{Name: "calibrate", Source: c.camera, Enabled: true})
	if err != nil {
		return err
	}
	defer s.Close()
	bar := progress.New(c.cmd.ErrOrStderr(), "taking frames", int64(c.frames), false)
	var f vision.Frame
	for i := range c.frames {
		if err := s.Read(ctx, &f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		err := atomicfile.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.png", i)), func(w io.Writer) error {
			return lossless.Encode(w, f.Image())
		})
		if err != nil {
			return err
		}
		_ = bar.Add(1)
	}
	return bar.Finish()
}

// memory keeps the tensors of a set that is gone through again and again, up to memoryLimit.
type memory struct {
	mu      sync.Mutex
	tensors map[int][]float32
	bytes   int
}

const memoryLimit = 4 << 20 // twice that of heap, before it is collected

func (m *memory) recall(i int, t *vision.Tensor) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(t.Data, m.tensors[i]) > 0
}

func (m *memory) keep(i int, t *vision.Tensor) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes += 4 * len(t.Data); m.bytes <= memoryLimit {
		m.tensors[i] = slices.Clone(t.Data)
	}
}

// rewind starts over.
func (s *pictureSet) rewind() { s.next = 0 }

// part is the first n pictures of the set, as a set of its own.
func (s *pictureSet) part(n int) *pictureSet {
	return &pictureSet{files: s.files[:min(n, len(s.files))], spec: s.spec, judge: s.judge, memory: s.memory}
}

// take reads the next picture into t and lets look see the frame; it returns io.EOF after the last.
func (s *pictureSet) take(t *vision.Tensor, look func(f *vision.Frame)) (i, label int, err error) {
	s.mu.Lock()
	if s.next == len(s.files) {
		s.mu.Unlock()
		return 0, 0, io.EOF
	}
	i = s.next
	s.next++
	s.mu.Unlock()
	p := &s.files[i]
	if look != nil || !s.memory.recall(i, t) {
		if err := s.read(p, t, look); err != nil {
			return 0, 0, err
		}
		s.memory.keep(i, t)
	}
	return i, p.label, nil
}

// read prepares a picture with a reader that nobody else has in hand.
func (s *pictureSet) read(p *sample, t *vision.Tensor, look func(f *vision.Frame)) error {
	s.mu.Lock()
	var r *pictureReader
	if n := len(s.readers); n > 0 {
		r, s.readers = s.readers[n-1], s.readers[:n-1]
	}
	s.mu.Unlock()
	if r == nil {
		prep, err := vision.NewPreprocessor(s.spec.Preprocess, s.spec.Architecture.InputSize)
		if err != nil {
			return err
		}
		r = &pictureReader{prep: prep}
	}
	if err := camera.ReadImage(p.path, &r.frame); err != nil {
		return err
	}
	if err := r.prep.Apply(&r.frame, t, 0); err != nil {
		return fmt.Errorf("%s: %w", p.path, err)
	}
	if look != nil {
		look(&r.frame)
	}
	s.mu.Lock()
	s.readers = append(s.readers, r)
	s.mu.Unlock()
	return nil
}

// labelled gives the pictures to a judge, counting on progress.
func (s *pictureSet) labelled(count func()) quant.Labelled {
	return func(ctx context.Context, t *vision.Tensor) (int, int, error) {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		i, label, err := s.take(t, nil)
		if err == nil {
			count()
		}
		return i, label, err
	}
}
