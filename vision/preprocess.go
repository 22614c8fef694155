package vision

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/vision/resample"
)

// Resize modes of Preprocess.
const (
	ResizeSquash       = "squash"        // to size×size, aspect ratio ignored
	ResizeShortestCrop = "shortest-crop" // shorter side to Shorter, then the centre size×size
	ResizeLetterbox    = "letterbox"     // longer side to size, the rest filled with Fill
)

// Filters of Preprocess. Those named pil-… and nearest are Pillow's; all but nearest widen where
// the picture shrinks (antialiasing).
const (
	FilterNearest     = "nearest"
	FilterPILBilinear = "pil-bilinear" // what torchvision does; within one level of Pillow
	FilterPILBicubic  = "pil-bicubic"  // most of timm, newer torchvision, many of Hugging Face
	FilterPILBox      = "pil-box"
	FilterPILHamming  = "pil-hamming"
	FilterPILLanczos  = "pil-lanczos"
	FilterArea        = "area"   // mean over the covered source area: OpenCV INTER_AREA where the picture shrinks
	FilterLinear      = "linear" // two taps, no antialiasing: OpenCV INTER_LINEAR
)

// filters are those of package resample.
var filters = map[string]resample.Filter{
	FilterNearest: resample.Nearest, FilterPILBilinear: resample.Triangle, FilterPILBicubic: resample.Bicubic,
	FilterPILBox: resample.Box, FilterPILHamming: resample.Hamming, FilterPILLanczos: resample.Lanczos,
	FilterArea: resample.Area, FilterLinear: resample.Linear,
}

// Channel orders of Preprocess.
const (
	ChannelsRGB = "rgb"
	ChannelsBGR = "bgr"
)

// MaxSize is the largest height and width of a network's input: 4096×4096×3 floats are 200 MB.
const MaxSize = 4096

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

// Validate returns the first thing in the declaration that cannot be for size×size inputs, naming
// its key.
func (p *Preprocess) Validate(size int) error {
	if size > MaxSize {
		return fmt.Errorf("resize: the input size must be at most %d, got %d", MaxSize, size)
	}
	switch p.Resize {
	case ResizeSquash, ResizeLetterbox:
	case ResizeShortestCrop:
		if p.Shorter < size {
			return fmt.Errorf("shorter: must be ≥ the input size %d, got %d", size, p.Shorter)
		}
		if p.Shorter > 4*MaxSize {
			return fmt.Errorf("shorter: must be at most %d, got %d", 4*MaxSize, p.Shorter)
		}
	default:
		return fmt.Errorf("resize: must be %s, %s or %s, got %q", ResizeSquash, ResizeShortestCrop, ResizeLetterbox,
			p.Resize)
	}
	if _, ok := filters[p.Filter]; !ok {
		return fmt.Errorf("filter: must be one of %s, got %q",
			strings.Join(slices.Sorted(maps.Keys(filters)), ", "), p.Filter)
	}
	if p.Channels != ChannelsRGB && p.Channels != ChannelsBGR {
		return fmt.Errorf("channels: must be %s or %s, got %q", ChannelsRGB, ChannelsBGR, p.Channels)
	}
	if p.Scale == 0 || !finite(p.Scale) {
		return fmt.Errorf("scale: must be given and not 0, got %g (1/255 = 0.00392156862745098 for pictures in 0..1)",
			p.Scale)
	}
	for c := range 3 {
		if !finite(p.Mean[c]) {
			return fmt.Errorf("mean[%d]: must be a number, got %g", c, p.Mean[c])
		}
		if p.Std[c] <= 0 || !finite(p.Std[c]) {
			return fmt.Errorf("std[%d]: must be > 0, got %g", c, p.Std[c])
		}
	}
	return nil
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// geometry is the resize and window for a width×height picture, and where the window stands in the
// size×size plane.
func (p *Preprocess) geometry(width, height, size int) (g resample.Geometry, left, top int) {
	g = resample.Geometry{SrcWidth: width, SrcHeight: height, DstWidth: size, DstHeight: size, Width: size,
		Height: size}
	switch p.Resize {
	case ResizeShortestCrop:
		g.DstWidth, g.DstHeight = shortestTo(p.Shorter, width, height)
		g.X, g.Y = halfOf(g.DstWidth-size), halfOf(g.DstHeight-size)
	case ResizeLetterbox:
		g.DstWidth, g.DstHeight = longestTo(size, width, height)
		g.Width, g.Height = g.DstWidth, g.DstHeight
		left, top = halfOf(size-g.Width), halfOf(size-g.Height)
	}
	return g, left, top
}

// shortestTo is torchvision.transforms.Resize(n): the other side is int(n·long/short).
func shortestTo(n, width, height int) (int, int) {
	if width <= height {
		return n, int(float64(n*height) / float64(width))
	}
	return int(float64(n*width) / float64(height)), n
}

// longestTo is PIL.ImageOps.contain for a square: the other side is round(short/long·n), at least
// 1.
func longestTo(n, width, height int) (int, int) {
	if width >= height {
		return n, max(1, int(math.RoundToEven(float64(height)/float64(width)*float64(n))))
	}
	return max(1, int(math.RoundToEven(float64(width)/float64(height)*float64(n)))), n
}

// halfOf is Python's int(round(n / 2.0)), ties to even: torchvision's centre crop,
// PIL.ImageOps.pad.
func halfOf(n int) int { return int(math.RoundToEven(float64(n) / 2)) }
