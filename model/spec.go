package model

import (
	"fmt"
	"regexp"
	"time"
)

// SpecSchema names the layout of model.yaml that this version reads and writes.
const SpecSchema = "vggse.bundle/1"

// SpecFile is the name of the manifest inside a bundle.
const SpecFile = "model.yaml"

// Keys of Spec.Files. FP32 is in every bundle; the others come with calibration and import.
const (
	FileFP32   = "fp32"
	FileGolden = "golden"
)

// Spec is the manifest of a bundle: what the network is, how it wants its pictures, what its rows
// mean, and the digest of every file beside it.
type Spec struct {
	Schema       string          `yaml:"schema"`
	Name         string          `yaml:"name"`
	Version      string          `yaml:"version"`
	Architecture Architecture    `yaml:"architecture"`
	Input        Port            `yaml:"input"`
	Output       Port            `yaml:"output"`
	Preprocess   Preprocess      `yaml:"preprocess"`
	Labels       []string        `yaml:"labels"`
	Files        map[string]File `yaml:"files"`
	Provenance   Provenance      `yaml:"provenance"`
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
}

// Port names one input or output of the ONNX graph.
type Port struct {
	Name string `yaml:"name"`
}

// File is one file of a bundle.
type File struct {
	Path   string `yaml:"path"` // relative to the bundle, no "..", no leading slash
	SHA256 string `yaml:"sha256"`
	Bytes  int64  `yaml:"bytes"`
}

// Provenance says where the network came from. Free text, but for Created.
type Provenance struct {
	Tool    string    `yaml:"tool"`
	Source  string    `yaml:"source,omitempty"`
	Seed    uint64    `yaml:"seed,omitempty"`
	Created time.Time `yaml:"created"`
	Notes   string    `yaml:"notes,omitempty"`
}

// Resize modes of Preprocess.
const (
	ResizeSquash       = "squash"        // to size×size, aspect ratio ignored
	ResizeShortestCrop = "shortest-crop" // shorter side to Shorter, then the centre size×size
	ResizeLetterbox    = "letterbox"     // longer side to size, the rest filled with Fill
)

// Filters of Preprocess.
const (
	FilterPILBilinear = "pil-bilinear" // Pillow's antialiased triangle filter: what torchvision does
	FilterArea        = "area"         // mean over the covered source area
	FilterLinear      = "linear"       // two taps, no antialiasing
)

// Channel orders of Preprocess.
const (
	ChannelsRGB = "rgb"
	ChannelsBGR = "bgr"
)

// Preprocess declares the way from a picture to the tensor: resize, crop, channel order, then
// (value*Scale − Mean[c]) / Std[c]. Mean and Std stand in the order of Channels. Nothing of it is
// ever assumed: a manifest that leaves a part out is refused.
type Preprocess struct {
	Resize   string     `yaml:"resize"`
	Shorter  int        `yaml:"shorter,omitempty"` // ResizeShortestCrop: pixels of the shorter side before the crop
	Fill     uint8      `yaml:"fill,omitempty"`    // ResizeLetterbox: grey level of the bars
	Filter   string     `yaml:"filter"`
	Channels string     `yaml:"channels"`
	Scale    float64    `yaml:"scale"`
	Mean     [3]float64 `yaml:"mean,flow"`
	Std      [3]float64 `yaml:"std,flow"`
}

// Torchvision is the preprocessing of torchvision's classification presets at the given input size:
// shorter side to round(size·256/224) with Pillow's bilinear filter, centre crop, ImageNet mean and
// standard deviation (torchvision.transforms._presets.ImageClassification).
func Torchvision(size int) Preprocess {
	return Preprocess{
		Resize: ResizeShortestCrop, Shorter: (size*256 + 112) / 224, Filter: FilterPILBilinear,
		Channels: ChannelsRGB, Scale: 1.0 / 255,
		Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225},
	}
}

var digest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate returns the first thing in the manifest that cannot be, naming its key.
func (s *Spec) Validate() error {
	switch {
	case s.Schema != SpecSchema:
		return fmt.Errorf("schema: %q is not %q: made by another version of vggse-agent", s.Schema, SpecSchema)
	case s.Name == "":
		return fmt.Errorf("name: must not be empty")
	case s.Architecture.InputSize <= 0:
		return fmt.Errorf("architecture.input_size: must be > 0, got %d", s.Architecture.InputSize)
	case s.Input.Name == "":
		return fmt.Errorf("input.name: must not be empty")
	case s.Output.Name == "":
		return fmt.Errorf("output.name: must not be empty")
	case len(s.Labels) == 0:
		return fmt.Errorf("labels: must not be empty")
	case len(s.Labels) != s.Architecture.Classes:
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
		seen[l] = i
	}
	if err := s.Preprocess.Validate(s.Architecture.InputSize); err != nil {
		return fmt.Errorf("preprocess.%w", err)
	}
	if _, ok := s.Files[FileFP32]; !ok {
		return fmt.Errorf("files.%s: missing", FileFP32)
	}
	for key, f := range s.Files {
		if f.Path == "" || !isLocal(f.Path) {
			return fmt.Errorf("files.%s.path: %q must be a path inside the bundle", key, f.Path)
		}
		if !digest.MatchString(f.SHA256) {
			return fmt.Errorf("files.%s.sha256: %q is not 64 lower-case hexadecimal digits", key, f.SHA256)
		}
	}
	return nil
}

// Validate returns the first thing in the declaration that cannot be for size×size inputs, naming its key.
func (p *Preprocess) Validate(size int) error {
	switch p.Resize {
	case ResizeSquash, ResizeLetterbox:
	case ResizeShortestCrop:
		if p.Shorter < size {
			return fmt.Errorf("shorter: must be ≥ the input size %d, got %d", size, p.Shorter)
		}
	default:
		return fmt.Errorf("resize: must be %s, %s or %s, got %q", ResizeSquash, ResizeShortestCrop, ResizeLetterbox, p.Resize)
	}
	switch p.Filter {
	case FilterPILBilinear, FilterArea, FilterLinear:
	default:
		return fmt.Errorf("filter: must be %s, %s or %s, got %q", FilterPILBilinear, FilterArea, FilterLinear, p.Filter)
	}
	if p.Channels != ChannelsRGB && p.Channels != ChannelsBGR {
		return fmt.Errorf("channels: must be %s or %s, got %q", ChannelsRGB, ChannelsBGR, p.Channels)
	}
	if p.Scale == 0 {
		return fmt.Errorf("scale: must be given and not 0 (1/255 = 0.00392156862745098 for pictures in 0..1)")
	}
	for c, s := range p.Std {
		if s <= 0 {
			return fmt.Errorf("std[%d]: must be > 0, got %g", c, s)
		}
	}
	return nil
}
