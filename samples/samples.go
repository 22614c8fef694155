// Package samples keeps pictures worth looking at again, each beside what the network said of it,
// in a bounded folder:
//
//	Decision, Frame ▶ <time>-<camera>-<label>-<score>.png and .json
//
// The pictures are what the network saw before preprocessing, without loss: 'vggse-agent calibrate'
// takes the folder as it is, and so does whoever wants to label them for training.
package samples

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vision"
)

// Config says which pictures are kept, and how many.
type Config struct {
	Dir     string  `mapstructure:"dir"`     // where they go; empty: nowhere
	Below   float64 `mapstructure:"below"`   // keep where the best score is below, 0..1; 0: not for that
	Changed bool    `mapstructure:"changed"` // keep where another label begins to hold
	// keep one of each camera so often, whatever it shows; 0: not for that
	Every time.Duration `mapstructure:"every"`
	Gap   time.Duration `mapstructure:"gap"`   // between two of one camera, at least
	Bytes int64         `mapstructure:"bytes"` // of the folder, at most: then the oldest go
	Count int           `mapstructure:"count"` // of pictures, at most: then the oldest go
}

// Validate returns the first key that cannot be.
func (c *Config) Validate() error {
	switch {
	case c.Dir == "":
		return nil
	case !(c.Below >= 0 && c.Below <= 1):
		return fmt.Errorf("samples.below: must be between 0 (off) and 1, got %g", c.Below)
	case c.Every < 0:
		return fmt.Errorf("samples.every: must be 0s (off) or more, got %s", c.Every)
	case c.Gap < 0:
		return fmt.Errorf("samples.gap: must be 0s or more, got %s", c.Gap)
	case c.Bytes < 1<<20:
		return fmt.Errorf("samples.bytes: must be %d or more, got %d", 1<<20, c.Bytes)
	case c.Count < 1:
		return fmt.Errorf("samples.count: must be 1 or more, got %d", c.Count)
	}
	return nil
}

// Folder is the open folder of samples. It is for one goroutine, but for Worth, which is for one of
// its own, and for what a Review tells it.
type Folder struct {
	cfg  Config
	last map[string]time.Time

	mu    sync.Mutex // guards what follows
	kept  []entry    // oldest first
	bytes int64      // of them all
}

// entry is one picture with its story.
type entry struct {
	name  string // without .png and .json
	bytes int64
}

// Open makes the folder, or takes stock of what is there from before.
func Open(c Config) (*Folder, error) {
	f := &Folder{cfg: c, last: make(map[string]time.Time)}
	if err := os.MkdirAll(c.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("samples.dir: %w", err)
	}
	all, err := os.ReadDir(c.Dir) // in the order of names, which begin with the time
	if err != nil {
		return nil, fmt.Errorf("samples.dir: %w", err)
	}
	for _, file := range all {
		name, ok := strings.CutSuffix(file.Name(), ".png")
		if !ok || !ours(name) {
			continue
		}
		e := entry{name: name, bytes: size(c.Dir, file.Name()) + size(c.Dir, name+".json")}
		f.kept, f.bytes = append(f.kept, e), f.bytes+e.bytes
	}
	return f, f.makeRoom()
}

func size(dir, name string) int64 {
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		return 0
	}
	return info.Size()
}

// pictureMode is that of the files: pictures may show people.
const pictureMode = 0o640

// wordBytes is how much of a camera's name and of a label stands in a file's name, which has at most
// 255 bytes.
const wordBytes = 80

const stamp = "20060102T150405.000Z"

// ours reports whether a name is one that Save gave: nothing else in the folder is ever counted, or
// removed.
func ours(name string) bool {
	if len(name) < len(stamp) {
		return false
	}
	_, err := time.Parse(stamp, name[:len(stamp)])
	return err == nil
}

// Worth is why the picture of a decision is to be kept: "uncertain", "changed" or "sampled"; "" if
// it is not. It remembers what it said.
func (f *Folder) Worth(d *vision.Decision) (reason string) {
	last, known := f.last[d.Camera]
	since := d.Time.Sub(last)
	switch {
	case known && since < f.cfg.Gap:
		return ""
	case f.cfg.Changed && d.Changed:
		reason = "changed"
	case len(d.Top) > 0 && float64(d.Top[0].Score) < f.cfg.Below:
		reason = "uncertain"
	case f.cfg.Every > 0 && (!known || since >= f.cfg.Every):
		reason = "sampled"
	default:
		return ""
	}
	f.last[d.Camera] = d.Time
	return reason
}

// story is the file beside a picture.
type story struct {
	Schema string    `json:"schema"`
	Camera string    `json:"camera"`
	Time   time.Time `json:"ts"`
	Frame  uint64    `json:"frame"`
	Reason string    `json:"reason"`
	Label  string    `json:"label"` // that held
	Top    []Class   `json:"top"`
	Model  string    `json:"model_sha256"`
	// Features are what the model's last layer read of the picture, float32, little-endian; in the
	// file as base64.
	Features []byte `json:"features,omitempty"`
	// PValue says how much the picture looked like one of the model's labels, as vision.Known has it; 0:
	// it was not told.
	PValue float32 `json:"p_value,omitempty"`
}

// Class is one label with its score, as it was kept.
type Class struct {
	Label string  `json:"label"`
	Index int     `json:"index"`
	Score float32 `json:"score"`
}

// Save writes the picture and its story, with the features of d.Signals; sum is the model's SHA-256.
// The oldest samples make room.
// The picture appears last and whole: one with a story is complete.
func (f *Folder) Save(d *vision.Decision, picture *vision.Frame, reason, sum string) error {
	best := vision.Class{Label: vision.Unknown}
	s := story{Schema: "vggse.sample/1", Camera: d.Camera, Time: d.Time.UTC(), Frame: d.Frame, Reason: reason,
		Label: d.Stable.Label, Top: make([]Class, 0, len(d.Top)), Model: sum, PValue: d.PValue}
	if d.Signals != nil {
		for _, v := range d.Signals.Features {
			s.Features = binary.LittleEndian.AppendUint32(s.Features, math.Float32bits(v))
		}
	}
	for i, c := range d.Top {
		if i == 0 {
			best = c
		}
		s.Top = append(s.Top, Class{c.Label, c.Index, c.Score})
	}
	name := fmt.Sprintf("%s-%s-%s-%.3f", d.Time.UTC().Format(stamp), plain(d.Camera), plain(best.Label), best.Score)
	path := filepath.Join(f.cfg.Dir, name)
	err := atomicfile.WriteFileMode(path+".json", pictureMode, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(s)
	})
	if err == nil {
		err = atomicfile.WriteFileMode(path+".png", pictureMode, func(w io.Writer) error {
			return (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, picture.Image())
		})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("samples: %w", err), remove(path))
	}
	e := entry{name: name, bytes: size(f.cfg.Dir, name+".png") + size(f.cfg.Dir, name+".json")}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept, f.bytes = append(f.kept, e), f.bytes+e.bytes
	return f.makeRoom()
}

// forget says that a sample is no longer in the folder.
func (f *Folder) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.place(name); i >= 0 {
		f.bytes -= f.kept[i].bytes
		f.kept = slices.Delete(f.kept, i, i+1)
	}
}

// takeBack says that a sample is in the folder again.
func (f *Folder) takeBack(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := entry{name: name, bytes: size(f.cfg.Dir, name+".png") + size(f.cfg.Dir, name+".json")}
	i, _ := slices.BinarySearchFunc(f.kept, name, func(e entry, n string) int { return strings.Compare(e.name, n) })
	f.kept, f.bytes = slices.Insert(f.kept, i, e), f.bytes+e.bytes
}

func (f *Folder) place(name string) int {
	return slices.IndexFunc(f.kept, func(e entry) bool { return e.name == name })
}

// makeRoom removes the oldest until the rest is within its bounds. f.mu is held, or nobody else has f.
func (f *Folder) makeRoom() error {
	gone := 0
	var errs error
	for ; gone < len(f.kept) && (f.bytes > f.cfg.Bytes || len(f.kept)-gone > f.cfg.Count); gone++ {
		e := f.kept[gone]
		errs = errors.Join(errs, remove(filepath.Join(f.cfg.Dir, e.name)))
		f.bytes -= e.bytes
	}
	f.kept = slices.Delete(f.kept, 0, gone)
	if errs != nil {
		return fmt.Errorf("samples: %w", errs)
	}
	return nil
}

// remove takes a picture and its story away; what is not there is no mistake.
func remove(path string) (errs error) {
	for _, ending := range []string{".png", ".json"} {
		if err := os.Remove(path + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = errors.Join(errs, err)
		}
	}
	return errs
}

// plain is text fit for the name of a file.
func plain(text string) string {
	text = text[:min(len(text), wordBytes)]
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, text)
}
