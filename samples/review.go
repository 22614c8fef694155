package samples

import (
	"archive/zip"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/dataset"
)

// Sample is one kept picture, with what the network said of it.
type Sample struct {
	Name   string    `json:"name"` // of the file, without its ending
	Time   time.Time `json:"ts"`
	Camera string    `json:"camera"`
	Reason string    `json:"reason"`
	Label  string    `json:"label"` // that held
	Top    []Class   `json:"top"`
	Marked bool      `json:"marked"` // somebody has said what it shows
	Right  string    `json:"right"`  // that; empty where it is not Marked

	folder string // below the folder of samples; empty: in it
}

// Best is the class with the best score; zero where there is none.
func (s *Sample) Best() Class {
	if len(s.Top) == 0 {
		return Class{}
	}
	return s.Top[0]
}

// Review lets a person look through a folder of samples, and put each into the folder of its right
// label, as dataset.FolderOf names it: 'calibrate', 'evaluate' and training take them from there. Files
// are reached through the folder alone, whatever a name or a label holds. Its methods may be called
// from any goroutine; they wait for the disk.
type Review struct {
	root   *os.Root
	folder *Folder // is told what has left; nil: nobody records

	mu    sync.Mutex // guards what follows
	known map[string]Sample
}

// ErrNoSample is what a name leads to that none of the samples has.
var ErrNoSample = errors.New("there is no such sample")

// OpenReview opens the folder for looking through. Close it.
func OpenReview(dir string) (*Review, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("samples.dir: %w", err)
	}
	return &Review{root: root, known: make(map[string]Sample)}, nil
}

// Review opens the recorder's folder for looking through; what is taken out of it no longer counts
// for its bounds. Close it.
func (k *Recorder) Review() (*Review, error) {
	r, err := OpenReview(k.folder.cfg.Dir)
	if err == nil {
		r.folder = k.folder
	}
	return r, err
}

// Close lets the folder go.
func (r *Review) Close() error { return r.root.Close() }

// List are all samples, newest first, those in the folders of labels too.
func (r *Review) List() ([]Sample, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.known
	r.known = make(map[string]Sample, len(before))
	entries, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			r.read("", e.Name(), before)
			continue
		}
		inner, err := fs.ReadDir(r.root.FS(), e.Name())
		if err != nil {
			continue // somebody has taken it away
		}
		for _, file := range inner {
			r.read(e.Name(), file.Name(), before)
		}
	}
	all := make([]Sample, 0, len(r.known))
	for _, s := range r.known {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Sample) int {
		return cmp.Or(b.Time.Compare(a.Time), strings.Compare(b.Name, a.Name))
	})
	return all, nil
}

// read takes in the sample of a file where it is one, from before where it was known there.
func (r *Review) read(folder, file string, before map[string]Sample) {
	name, ok := strings.CutSuffix(file, ".png")
	if !ok || !ours(name) {
		return
	}
	if s, ok := before[name]; ok && s.folder == folder {
		r.known[name] = s
		return
	}
	s := Sample{Name: name, folder: folder, Top: []Class{}}
	s.Time, _ = time.Parse(stamp, name[:len(stamp)]) // ours has seen that
	if text, err := r.root.ReadFile(s.path(".json")); err == nil {
		var told story
		if json.Unmarshal(text, &told) == nil {
			s.Camera, s.Reason, s.Label, s.Top = told.Camera, told.Reason, told.Label, told.Top
		}
	}
	if folder != "" {
		s.Marked = true
		if s.Right, ok = dataset.LabelOf(folder); !ok {
			s.Right = folder
		}
	}
	r.known[name] = s
}

func (s *Sample) path(ending string) string {
	if s.folder == "" {
		return s.Name + ending
	}
	return s.folder + "/" + s.Name + ending
}

// find is the sample with a name, looked up: the name is never part of a path that was not listed.
func (r *Review) find(name string) (Sample, error) {
	s, ok := r.known[name]
	if !ok {
		return s, fmt.Errorf("samples: %.60q: %w", name, ErrNoSample)
	}
	return s, nil
}

// Picture opens the PNG of a sample that List has named. Close it.
func (r *Review) Picture(name string) (*os.File, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, err := r.find(name)
	if err != nil {
		return nil, err
	}
	f, err := r.root.Open(s.path(".png"))
	if err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	return f, nil
}

// Mark puts samples into the folder of their right label; nil: back among those that nobody has
// marked. It returns how many it has moved; the first that cannot be ends it.
func (r *Review) Mark(names []string, label *string) (int, error) {
	folder := ""
	if label != nil {
		folder = dataset.FolderOf(*label)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, name := range names {
		s, err := r.find(name)
		if err != nil {
			return n, err
		}
		if err := r.move(s, folder, label); err != nil {
			return n, fmt.Errorf("samples: %w", err)
		}
	}
	return len(names), nil
}

// move puts a sample into a folder: the story first, so that no picture is ever without one.
func (r *Review) move(s Sample, folder string, label *string) error {
	if s.folder == folder {
		return nil
	}
	to := s
	to.folder, to.Marked, to.Right = folder, label != nil, ""
	if label != nil {
		to.Right = *label
		if err := r.root.Mkdir(folder, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := r.root.Rename(s.path(".json"), to.path(".json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.root.Rename(s.path(".png"), to.path(".png")); err != nil {
		return errors.Join(err, r.root.Rename(to.path(".json"), s.path(".json")))
	}
	r.known[s.Name] = to
	if r.folder == nil {
		return nil
	}
	if s.folder == "" {
		r.folder.forget(s.Name)
	} else if folder == "" {
		r.folder.takeBack(s.Name)
	}
	return nil
}

// Delete removes samples for good, and returns how many.
func (r *Review) Delete(names []string) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n, name := range names {
		s, err := r.find(name)
		if err != nil {
			return n, err
		}
		for _, ending := range []string{".png", ".json"} {
			if err := r.root.Remove(s.path(ending)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return n, fmt.Errorf("samples: %w", err)
			}
		}
		delete(r.known, name)
		if r.folder != nil && s.folder == "" {
			r.folder.forget(name)
		}
	}
	return len(names), nil
}

// Zip writes the marked samples as <label>/<name>.png and .json, ready for training; all: the others
// too, beside the folders.
func (r *Review) Zip(w io.Writer, all bool) error {
	listed, err := r.List()
	if err != nil {
		return err
	}
	out := zip.NewWriter(w)
	for _, s := range listed {
		if !s.Marked && !all {
			continue
		}
		for _, ending := range []string{".png", ".json"} {
			if err := r.pack(out, &s, ending); err != nil {
				return fmt.Errorf("samples: zip: %w", err)
			}
		}
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("samples: zip: %w", err)
	}
	return nil
}

// pack adds one file; one that has gone since it was listed is left out.
func (r *Review) pack(out *zip.Writer, s *Sample, ending string) error {
	f, err := r.root.Open(s.path(ending))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	method := zip.Deflate
	if ending == ".png" {
		method = zip.Store // is compressed
	}
	entry, err := out.CreateHeader(&zip.FileHeader{Name: s.path(ending), Method: method, Modified: s.Time})
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, f)
	return err
}
