package dataset

import (
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

// View is another look at a picture: a part of it, lighter or darker, mirrored. The zero View is
// the picture as it is.
type View struct {
	Crop  float64 // share of width and height that is cut off, 0 to below 1
	X, Y  float64 // where the rest lies: 0 is left or top, 1 right or bottom
	Light float64 // brightness is multiplied by 1 + Light, −1 to 1
	Flip  bool    // left and right change places
}

// EachView prepares the views of the picture at a place into t, one after the other, and calls each
// with its index. inspect sees the whole frame first; it may be nil. Workers may call it at the
// same time, each with a tensor of its own.
func (s *Set) EachView(place int, views []View, t *vision.Tensor, inspect func(f *vision.Frame),
	each func(view int) error) error {
	p := &s.Pictures[place]
	return s.with(p, func(r *reader) error {
		if inspect != nil {
			inspect(&r.frame)
		}
		var seen vision.Frame
		for i, v := range views {
			v.of(&r.frame, &seen)
			if err := r.prep.Apply(&seen, t, 0); err != nil {
				return fmt.Errorf("%s: %w", p.Path, err)
			}
			if err := each(i); err != nil {
				return err
			}
		}
		return nil
	})
}

// of makes out the view of f.
func (v *View) of(f, out *vision.Frame) {
	part := *f
	part.Width = max(1, int((1-v.Crop)*float64(f.Width)+0.5))
	part.Height = max(1, int((1-v.Crop)*float64(f.Height)+0.5))
	left := int(v.X * float64(f.Width-part.Width))
	top := int(v.Y * float64(f.Height-part.Height))
	part.Pix = f.Pix[top*f.Stride+3*left:]
	out.CopyFrom(&part)
	if v.Flip {
		flip(out)
	}
	if v.Light == 0 {
		return
	}
	var light [256]byte
	for i := range light {
		light[i] = byte(min(255, max(0, float64(i)*(1+v.Light)+0.5)))
	}
	for i, b := range out.Pix {
		out.Pix[i] = light[b]
	}
}

// flip mirrors a frame in place.
func flip(f *vision.Frame) {
	for y := range f.Height {
		row := f.Pix[y*f.Stride:][:3*f.Width]
		for a, b := 0, 3*(f.Width-1); a < b; a, b = a+3, b-3 {
			for c := range 3 {
				row[a+c], row[b+c] = row[b+c], row[a+c]
			}
		}
	}
}
