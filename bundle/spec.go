package bundle

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/vggse/vggse-agent/vision"
)

// SpecSchema names the layout of model.yaml that this version reads and writes.
const SpecSchema = "vggse.bundle/1"

// SpecFile is the name of the manifest inside a bundle.
const SpecFile = "model.yaml"

// Keys of Spec.Files. FP32 is in every bundle; the others come with calibration and import.
const (
	FileFP32      = "fp32"
	FileFP16      = "fp16"
	FileINT8CPU   = "int8.cpu"   // unsigned activations: for the CPU provider
	FileINT8TRT   = "int8.trt"   // signed, symmetric: for TensorRT up to 10
	FileINT8TRT11 = "int8.trt11" // the same with half-precision tensors: for TensorRT 11
	FileGolden    = "golden"
	FileGoldens8  = "golden.int8" // judged pictures with the answers of FP32, for INT8 files
)

// Calibrated tells whether there is a model file of less precision than FP32.
func (s *Spec) Calibrated() bool {
	for _, key := range []string{FileFP16, FileINT8CPU, FileINT8TRT, FileINT8TRT11} {
		if _, ok := s.Files[key]; ok {
			return true
		}
	}
	return false
}

// OnlyTensorRT tells whether the model file with the key is for TensorRT alone.
func OnlyTensorRT(key string) bool { return key == FileINT8TRT || key == FileINT8TRT11 }

// Spec is the manifest of a bundle: what the network is, how it wants its pictures, what its rows
// mean, and the digest of every file beside it.
type Spec struct {
	Schema       string            `yaml:"schema"`
	Name         string            `yaml:"name"`
	Version      string            `yaml:"version"`
	Architecture Architecture      `yaml:"architecture"`
	Input        Port              `yaml:"input"`
	Output       Port              `yaml:"output"`
	Preprocess   vision.Preprocess `yaml:"preprocess"`
	Labels       []string          `yaml:"labels"`
	Files        map[string]File   `yaml:"files"`
	Provenance   Provenance        `yaml:"provenance"`
}

// Architecture says which network the bundle holds. For family "vgg16se" the numbers are those of
// vgg16se.Architecture; a foreign network has only its family's name and the input size.
type Architecture struct {
	Family    string  `yaml:"family"`
	InputSize int     `yaml:"input_size"`
	Width     float64 `yaml:"width,omitempty"`
	Reduction int     `yaml:"reduction,omitempty"`
	Hidden    int     `yaml:"hidden,omitempty"`
	Hidden2   int     `yaml:"hidden2,omitempty"` // of the second hidden layer, where it differs
	PoolSize  int     `yaml:"pool_size,omitempty"`
	Classes   int     `yaml:"classes"`
	Attention string  `yaml:"attention,omitempty"`     // where it is not SE, or none
	Channels  []int   `yaml:"channels,omitempty,flow"` // of the convolutions, where they follow no width
	Depths    []int   `yaml:"depths,omitempty,flow"`   // convolutions of each stage, where they are not VGG16's
	// neurons of the attention blocks, where they follow no reduction
	Squeezed []int `yaml:"squeezed,omitempty,flow"`
}

// Bounds of an architecture's numbers: no network that can be computed is near them.
const (
	MostOfOne = 1 << 20 // of anything that is counted
	MostWidth = 64
)

// validate looks at the numbers that say nothing about the picture; 0 is one that is not given. Whether
// they make a network is the family's to say.
func (a *Architecture) validate() error {
	if !(a.Width >= 0 && a.Width <= MostWidth) {
		return fmt.Errorf("architecture.width: must be > 0 and ≤ %d, got %g", MostWidth, a.Width)
	}
	for _, f := range []struct {
		key     string
		numbers []int
	}{{"reduction", []int{a.Reduction}}, {"hidden", []int{a.Hidden}}, {"hidden2", []int{a.Hidden2}},
		{"pool_size", []int{a.PoolSize}}, {"classes", []int{a.Classes}}, {"channels", a.Channels},
		{"depths", a.Depths}, {"squeezed", a.Squeezed}} {
		for _, n := range f.numbers {
			if n < 0 || n > MostOfOne {
				return fmt.Errorf("architecture.%s: must be from 1 to %d, got %d", f.key, MostOfOne, n)
			}
		}
	}
	return nil
}

// Port names one input or output of the ONNX graph.
type Port struct {
	Name string `yaml:"name"`
	// Scores says of the output how its raw scores become 0 to 1: softmax, which is the default, or
	// sigmoid, each label for itself.
	Scores vision.Scores `yaml:"scores,omitempty"`
}

// File is one file of a bundle.
type File struct {
	Path   string `yaml:"path"`   // relative to the bundle, no "..", no leading slash
	SHA256 string `yaml:"sha256"` // 64 lower-case hexadecimal digits
	Bytes  int64  `yaml:"bytes"`  // 0: not checked
}

// Provenance says where the network came from. Free text, but for Created.
type Provenance struct {
	Tool    string    `yaml:"tool"`
	Source  string    `yaml:"source,omitempty"`
	Seed    uint64    `yaml:"seed,omitempty"`
	Created time.Time `yaml:"created"`
	Notes   string    `yaml:"notes,omitempty"`
}

var digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsDigest reports whether s has the form of a SHA-256: 64 lower-case hexadecimal digits.
func IsDigest(s string) bool { return digestForm.MatchString(s) }

// Validate returns the first thing in the manifest that cannot be, naming its key.
func (s *Spec) Validate() error {
	switch {
	case s.Schema != SpecSchema:
		return fmt.Errorf("schema: %q is not %q: made by another version of vggse-agent", s.Schema, SpecSchema)
	case s.Name == "":
		return errors.New("name: must not be empty")
	case checkText(s.Name) != nil:
		return fmt.Errorf("name: %w", checkText(s.Name))
	case checkText(s.Version) != nil:
		return fmt.Errorf("version: %w", checkText(s.Version))
	case s.Architecture.InputSize > vision.MaxSize:
		return fmt.Errorf("architecture.input_size: must be at most %d, got %d", vision.MaxSize,
			s.Architecture.InputSize)
	case s.Architecture.InputSize <= 0:
		return fmt.Errorf("architecture.input_size: must be > 0, got %d", s.Architecture.InputSize)
	case s.Architecture.validate() != nil:
		return s.Architecture.validate()
	case s.Input.Name == "":
		return errors.New("input.name: must not be empty")
	case s.Output.Name == "":
		return errors.New("output.name: must not be empty")
	}
	if err := s.Output.Scores.Validate(); err != nil {
		return fmt.Errorf("output.scores: %w", err)
	}
	if err := s.validateLabels(); err != nil {
		return err
	}
	if err := s.Preprocess.Validate(s.Architecture.InputSize); err != nil {
		return fmt.Errorf("preprocess.%w", err)
	}
	return s.validateFiles()
}

func (s *Spec) validateLabels() error {
	if len(s.Labels) == 0 {
		return errors.New("labels: must not be empty")
	}
	if len(s.Labels) != s.Architecture.Classes {
		return fmt.Errorf("labels: %d labels, but architecture.classes is %d", len(s.Labels), s.Architecture.Classes)
	}
	seen := make(map[string]int, len(s.Labels))
	for i, l := range s.Labels {
		if l == "" {
			return fmt.Errorf("labels[%d]: must not be empty", i)
		}
		if j, ok := seen[l]; ok {
			return fmt.Errorf("labels[%d]: %q is already labels[%d]", i, l, j)
		}
		if err := checkText(l); err != nil {
			return fmt.Errorf("labels[%d]: %w", i, err)
		}
		seen[l] = i
	}
	return nil
}

// textBytes is the most that a name or a label has: every result carries some.
const textBytes = 512

// checkText refuses what cannot be shown or published.
func checkText(s string) error {
	switch {
	case len(s) > textBytes:
		return fmt.Errorf("has %d bytes, at most %d are possible", len(s), textBytes)
	case !utf8.ValidString(s):
		return errors.New("is not UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("has a control character in it: %q", s)
	}
	return nil
}

func (s *Spec) validateFiles() error {
	if _, ok := s.Files[FileFP32]; !ok {
		return fmt.Errorf("files.%s: missing", FileFP32)
	}
	byPath := make(map[string]File)
	for _, key := range s.fileKeys() {
		f := s.Files[key]
		path := filepath.Clean(f.Path)
		other, again := byPath[path]
		byPath[path] = f
		switch {
		case path == SpecFile || path == sumsFile || slices.Contains(extras, path) ||
			strings.ContainsFunc(f.Path, unicode.IsControl):
			return fmt.Errorf("files.%s.path: %q cannot be a file of a bundle", key, f.Path)
		case again && (other.SHA256 != f.SHA256 || other.Bytes != f.Bytes):
			return fmt.Errorf("files.%s: %s has another sha256 or another number of bytes elsewhere in files", key,
				f.Path)
		case !filepath.IsLocal(f.Path):
			return fmt.Errorf("files.%s.path: %q must be a path inside the bundle", key, f.Path)
		case !IsDigest(f.SHA256):
			return fmt.Errorf("files.%s.sha256: %q is not 64 lower-case hexadecimal digits", key, f.SHA256)
		case f.Bytes < 0:
			return fmt.Errorf("files.%s.bytes: must be ≥ 0, got %d", key, f.Bytes)
		}
	}
	return nil
}

// fileKeys are the keys of Files in order, so that of several mistakes the same is named every
// time.
func (s *Spec) fileKeys() []string { return slices.Sorted(maps.Keys(s.Files)) }

// FamilyONNX is architecture.family of a network that came as .onnx.
const FamilyONNX = "onnx"
