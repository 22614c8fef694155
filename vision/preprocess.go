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
	ResizeSquash       = "squash"        // to size×size, or to Size and then its centre; aspect ratio ignored
	ResizeShortestCrop = "shortest-crop" // shorter side to Shorter, then the centre size×size
	ResizeLetterbox    = "letterbox"     // longer side to size, the rest filled with Fill
)

// Filters of Preprocess. Those named pil-… and nearest are Pillow's, to the byte; all but nearest
// widen where the picture shrinks (antialiasing). pil12-… are those of Pillow up to 12, which go
// along the rows first: only pictures whose height shrinks by more than twice what the width does
// differ.
const (
	FilterNearest     = "nearest"
	FilterPILBilinear = "pil-bilinear" // what torchvision does
	FilterPILBicubic  = "pil-bicubic"  // most of timm, newer torchvision, many of Hugging Face
	FilterPILBox      = "pil-box"
	FilterPILHamming  = "pil-hamming"
	FilterPILLanczos  = "pil-lanczos"
	FilterArea        = "area"   // mean over the covered source area: OpenCV INTER_AREA where the picture shrinks
	FilterLinear      = "linear" // two taps, no antialiasing: OpenCV INTER_LINEAR
	FilterCubic       = "cubic"  // four taps, no antialiasing: OpenCV INTER_CUBIC
	// two taps, no antialiasing, not rounded to bytes: tf.image.resize, and Keras' datasets
	FilterTFBilinear = "tf-bilinear"
)

// filters are those of package resample.
var filters = map[string]resample.Filter{
	FilterNearest: resample.Nearest, FilterPILBilinear: resample.Triangle, FilterPILBicubic: resample.Bicubic,
	FilterPILBox: resample.Box, FilterPILHamming: resample.Hamming, FilterPILLanczos: resample.Lanczos,
	FilterArea: resample.Area, FilterLinear: resample.Linear, FilterCubic: resample.Cubic,
	FilterTFBilinear: resample.TFBilinear,
	"pil12-bilinear": resample.Triangle | resample.Pillow12, "pil12-bicubic": resample.Bicubic | resample.Pillow12,
	"pil12-box": resample.Box | resample.Pillow12, "pil12-hamming": resample.Hamming | resample.Pillow12,
	"pil12-lanczos": resample.Lanczos | resample.Pillow12,
}

// Channel orders of Preprocess.
const (
	ChannelsRGB = "rgb"
	ChannelsBGR = "bgr"
	// three equal channels of grey, as Pillow's convert("L") makes it before anything is resized
	ChannelsGrey = "grey"
)

// What becomes of a photograph that its EXIF says was taken with the camera turned.
const (
	ExifApply  = "apply"  // it is turned upright: the default
	ExifIgnore = "ignore" // it stays as it is stored: torchvision's ImageFolder, timm, Keras
)

// MaxSize is the largest height and width of a network's input: 4096×4096×3 floats are 200 MB.
const MaxSize = 4096

// Preprocess declares the way from a picture to the tensor: resize, crop, channel order, then
// (value*Scale − Mean[c]) / Std[c]. Mean and Std stand in the order of Channels. Nothing of it is
// ever assumed: a manifest that leaves a part out is refused.
type Preprocess struct {
	Resize   string     `yaml:"resize"`
	Size     [2]int     `yaml:"size,omitempty,flow"` // ResizeSquash: height and width before the crop
	Shorter  int        `yaml:"shorter,omitempty"`   // ResizeShortestCrop: pixels of the shorter side before the crop
	Fill     uint8      `yaml:"fill,omitempty"`      // ResizeLetterbox: grey level of the bars
	Filter   string     `yaml:"filter"`
	Channels string     `yaml:"channels"`
	Scale    float64    `yaml:"scale"`
	Mean     [3]float64 `yaml:"mean,flow"`
	Std      [3]float64 `yaml:"std,flow"`
	Exif     string     `yaml:"exif,omitempty"` // ExifApply, which is also "", or ExifIgnore
	// Window is height and width of the picture in the upper left of the square tensor, where the
	// network takes no squares.
	Window [2]int `yaml:"window,omitempty,flow"`
}

// Torchvision is the preprocessing of torchvision's classification presets at the given input size:
// shorter side to round(size·256/224) with Pillow's bilinear filter, centre crop, ImageNet mean and
// standard deviation (torchvision.transforms._presets.ImageClassification).
func Torchvision(size int) Preprocess {
	return Preprocess{
		Resize: ResizeShortestCrop, Shorter: (size*256 + 112) / 224, Filter: FilterPILBilinear,
		Channels: ChannelsRGB, Scale: 1.0 / 255,
		Mean: [3]float64{0.485, 0.456, 0.406}, Std: [3]float64{0.229, 0.224, 0.225}, Exif: ExifIgnore,
	}
}

// Upright tells whether photographs are turned as their EXIF says.
func (p *Preprocess) Upright() bool { return p.Exif != ExifIgnore }

// Validate returns the first thing in the declaration that cannot be for size×size inputs, naming
// its key.
func (p *Preprocess) Validate(size int) error {
	if size > MaxSize {
		return fmt.Errorf("resize: the input size must be at most %d, got %d", MaxSize, size)
	}
	if err := p.validateGeometry(size); err != nil {
		return err
	}
	if _, ok := filters[p.Filter]; !ok {
		return fmt.Errorf("filter: must be one of %s, got %q",
			strings.Join(slices.Sorted(maps.Keys(filters)), ", "), p.Filter)
	}
	switch {
	case p.Channels != ChannelsRGB && p.Channels != ChannelsBGR && p.Channels != ChannelsGrey:
		return fmt.Errorf("channels: must be %s, %s or %s, got %q", ChannelsRGB, ChannelsBGR, ChannelsGrey,
			p.Channels)
	case p.Exif != "" && p.Exif != ExifApply && p.Exif != ExifIgnore:
		return fmt.Errorf("exif: must be %s or %s, got %q", ExifApply, ExifIgnore, p.Exif)
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

// validateGeometry looks at the sizes.
func (p *Preprocess) validateGeometry(size int) error {
	height, width := p.window(size)
	if p.Window != [2]int{} && (min(height, width) < 1 || max(height, width) != size) {
		return fmt.Errorf("window: must be height and width of which the longer is the input size %d, got %d×%d",
			size, height, width)
	}
	if p.Size != [2]int{} && p.Resize != ResizeSquash {
		return fmt.Errorf("size: goes with resize=%s only", ResizeSquash)
	}
	switch p.Resize {
	case ResizeLetterbox:
	case ResizeSquash:
		if p.Size != [2]int{} && (p.Size[0] < height || p.Size[1] < width) {
			return fmt.Errorf("size: must be ≥ the input size %d×%d, got %d×%d", height, width, p.Size[0], p.Size[1])
		}
		if max(p.Size[0], p.Size[1]) > 4*MaxSize {
			return fmt.Errorf("size: must be at most %d, got %d×%d", 4*MaxSize, p.Size[0], p.Size[1])
		}
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
	return nil
}

// window is height and width of the picture in a tensor of size×size.
func (p *Preprocess) window(size int) (height, width int) {
	if p.Window == [2]int{} {
		return size, size
	}
	return p.Window[0], p.Window[1]
}

// geometry is the resize and window for a width×height picture, and where the window stands in the
// tensor's plane.
func (p *Preprocess) geometry(width, height, size int) (g resample.Geometry, left, top int) {
	h, w := p.window(size)
	g = resample.Geometry{SrcWidth: width, SrcHeight: height, DstWidth: w, DstHeight: h, Width: w, Height: h}
	switch {
	case p.Resize == ResizeSquash && p.Size != [2]int{}:
		g.DstHeight, g.DstWidth = p.Size[0], p.Size[1]
		g.X, g.Y = halfOf(g.DstWidth-w), halfOf(g.DstHeight-h)
	case p.Resize == ResizeShortestCrop:
		g.DstWidth, g.DstHeight = shortestTo(p.Shorter, width, height)
		g.X, g.Y = halfOf(g.DstWidth-w), halfOf(g.DstHeight-h)
	case p.Resize == ResizeLetterbox:
		g.DstWidth, g.DstHeight = inside(w, h, width, height)
		g.Width, g.Height = g.DstWidth, g.DstHeight
		left, top = halfOf(w-g.Width), halfOf(h-g.Height)
	}
	return g, left, top
}

// Seen is the part of a width×height frame that a size×size tensor is made of, as shares of the
// frame, 0 to 1: all of it but for what a centre crop leaves out.
func (p *Preprocess) Seen(width, height, size int) (left, top, right, bottom float64) {
	g, _, _ := p.geometry(width, height, size)
	across, down := float64(g.DstWidth), float64(g.DstHeight)
	return max(0, float64(g.X)/across), max(0, float64(g.Y)/down),
		min(1, float64(g.X+g.Width)/across), min(1, float64(g.Y+g.Height)/down)
}

// shortestTo is torchvision.transforms.Resize(n): the other side is int(n·long/short).
func shortestTo(n, width, height int) (int, int) {
	if width <= height {
		return n, int(float64(n*height) / float64(width))
	}
	return int(float64(n*width) / float64(height)), n
}

// inside is PIL.ImageOps.contain: as large as fits into w×h, the side with room rounded, at least 1.
func inside(w, h, width, height int) (int, int) {
	of, to := float64(width)/float64(height), float64(w)/float64(h)
	switch {
	case of > to:
		return w, max(1, int(math.RoundToEven(float64(height)/float64(width)*float64(w))))
	case of < to:
		return max(1, int(math.RoundToEven(float64(width)/float64(height)*float64(h)))), h
	}
	return w, h
}

// halfOf is Python's int(round(n / 2.0)), ties to even: torchvision's centre crop,
// PIL.ImageOps.pad.
func halfOf(n int) int { return int(math.RoundToEven(float64(n) / 2)) }
