package camera

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/vision"
)

// Region is a part of each picture of a camera. The zero value is the whole of it.
type Region struct {
	Name string // "" where the region stands for the camera itself
	// Left, Top, Width and Height are shares of the picture, 0 to 1, or pixels where Pixels is set.
	Left, Top, Width, Height float64
	Pixels                   bool
}

// leastSide is how small a region in pixels may be: of fewer nothing can be told, and shares were
// meant.
const leastSide = 4

// ParseRegion reads "[NAME] LEFT TOP WIDTH HEIGHT", with blanks or commas between: shares of the
// picture from 0 to 1, or whole pixels as soon as one of them is above 1.
func ParseRegion(text string) (Region, error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	var r Region
	if len(words) == 5 {
		r.Name, words = words[0], words[1:]
	}
	if len(words) != 4 {
		return r, fmt.Errorf("%q: want [NAME] LEFT TOP WIDTH HEIGHT, as shares of the picture (left 0 0 0.5 1) or "+
			"in pixels (80 60 640 480)", text)
	}
	for i, to := range []*float64{&r.Left, &r.Top, &r.Width, &r.Height} {
		v, err := strconv.ParseFloat(words[i], 64)
		if err != nil || !(v >= 0 && v <= maxSide) {
			return r, fmt.Errorf("%q: %q is no number between 0 and %d", text, words[i], maxSide)
		}
		*to, r.Pixels = v, r.Pixels || v > 1
	}
	switch whole := math.Trunc(r.Left) == r.Left && math.Trunc(r.Top) == r.Top && math.Trunc(r.Width) == r.Width &&
		math.Trunc(r.Height) == r.Height; {
	case r.Width == 0 || r.Height == 0:
		return r, fmt.Errorf("%q: width and height must be above 0", text)
	case r.Pixels && !whole:
		return r, fmt.Errorf("%q: give either shares of the picture, none above 1, or whole pixels", text)
	case r.Pixels && max(r.Width, r.Height) < leastSide:
		return r, fmt.Errorf("%q: a region of %g×%g pixels is too small: in pixels at least one side has %d, as "+
			"shares none is above 1", text, r.Width, r.Height, leastSide)
	case !r.Pixels && (r.Left+r.Width > 1 || r.Top+r.Height > 1):
		return r, fmt.Errorf("%q: reaches beyond the picture: left + width and top + height may be 1 at most", text)
	}
	return r, nil
}

// Whole reports whether the region is all of the picture.
func (r *Region) Whole() bool { return r.Width == 0 }

// Of names the region of a camera: <camera>-<region>, or the camera's own name.
func (r *Region) Of(camera string) string {
	if r.Name == "" {
		return camera
	}
	return camera + "-" + r.Name
}

// bounds are the region's pixels in a picture of the given size, at least one, right and bottom not
// included. ok is false where the picture is too small for it.
func (r *Region) bounds(width, height int) (left, top, right, bottom int, ok bool) {
	if r.Whole() {
		return 0, 0, width, height, true
	}
	sx, sy := float64(width), float64(height)
	if r.Pixels {
		sx, sy = 1, 1
	}
	left, top = int(math.Round(r.Left*sx)), int(math.Round(r.Top*sy))
	right, bottom = int(math.Round((r.Left+r.Width)*sx)), int(math.Round((r.Top+r.Height)*sy))
	return left, top, right, bottom, left < right && top < bottom && right <= width && bottom <= height
}

// Cut copies the region of f to part, growing part.Pix only where it is too small; Camera, Seq and
// Time come along.
func (r *Region) Cut(f, part *vision.Frame) error {
	left, top, right, bottom, ok := r.bounds(f.Width, f.Height)
	if !ok {
		return fmt.Errorf("camera: roi %s does not fit into a picture of %d×%d pixels", r, f.Width, f.Height)
	}
	part.Resize(right-left, bottom-top)
	for y := range part.Height {
		copy(part.Pix[y*part.Stride:][:part.Stride], f.Pix[(top+y)*f.Stride+3*left:])
	}
	part.Camera, part.Seq, part.Time = f.Camera, f.Seq, f.Time
	return nil
}

// String is the region as ParseRegion reads it.
func (r Region) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %g %g %g %g", r.Name, r.Left, r.Top, r.Width, r.Height))
}

// Regions are the parts of each picture that are classified: those of roi, or the whole picture.
func (c *Config) Regions() ([]Region, error) {
	if len(c.ROI) == 0 {
		return []Region{{}}, nil
	}
	all := make([]Region, 0, len(c.ROI))
	seen := make(map[string]bool)
	for _, text := range c.ROI {
		r, err := ParseRegion(text)
		switch {
		case err != nil:
			return nil, err
		case r.Name == "" && len(c.ROI) > 1:
			return nil, fmt.Errorf("%q: of several regions each needs a name: NAME LEFT TOP WIDTH HEIGHT", text)
		case seen[r.Name]:
			return nil, fmt.Errorf("%q: the name is taken", text)
		}
		seen[r.Name] = true
		all = append(all, r)
	}
	return all, nil
}

// RegionNames are the names under which the results of a camera come: its own, or where it has
// regions theirs.
func RegionNames(camera string, regions []Region) []string {
	if len(regions) == 0 {
		return []string{camera}
	}
	names := make([]string, len(regions))
	for i := range regions {
		names[i] = regions[i].Of(camera)
	}
	return names
}
