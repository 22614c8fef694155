package camera

import (
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// A region is cut where it says, from a picture with a stride of its own, as shares and in pixels.
func TestRegion(t *testing.T) {
	var f vision.Frame
	f.Resize(8, 6)
	f.Width, f.Seq = 7, 9 // a byte or three at the end of each row that are nobody's
	for y := range f.Height {
		for x := range f.Width {
			f.Pix[y*f.Stride+3*x], f.Pix[y*f.Stride+3*x+2] = byte(x), byte(y)
		}
	}
	for _, tt := range []struct {
		text                     string
		left, top, right, bottom int
	}{
		{"0 0 1 1", 0, 0, 7, 6}, {"a 0,0,0.5,0.5", 0, 0, 4, 3}, {"b 0.5 0.5 0.5 0.5", 4, 3, 7, 6},
		{"c 2 1 5 5", 2, 1, 7, 6}, {"0.99 0 0.01 1", 0, 0, 0, 0},
		{"d 3 3 5 1", 0, 0, 0, 0},
	} {
		r, err := ParseRegion(tt.text)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseRegion(r.String()); err != nil || again != r {
			t.Errorf("%s: written as %s, read back as %+v, %v", tt.text, r, again, err)
		}
		var part vision.Frame
		err = r.Cut(&f, &part)
		if tt.right == 0 {
			if err == nil || !strings.Contains(err.Error(), "does not fit into a picture of 7×6 pixels") {
				t.Errorf("%s: %v", tt.text, err)
			}
			continue
		}
		last := part.Stride*(part.Height-1) + 3*(part.Width-1)
		if err != nil || part.Width != tt.right-tt.left || part.Height != tt.bottom-tt.top || part.Seq != 9 ||
			part.Pix[0] != byte(tt.left) || part.Pix[2] != byte(tt.top) || part.Pix[last] != byte(tt.right-1) ||
			part.Pix[last+2] != byte(tt.bottom-1) {
			t.Errorf("%s: %d×%d from (%d, %d), %v", tt.text, part.Width, part.Height, part.Pix[0], part.Pix[2], err)
		}
	}
}

func TestRegionsRefuse(t *testing.T) {
	for _, tt := range []struct {
		roi  []string
		want string
	}{
		{[]string{"0 0 1"}, "want [NAME] LEFT TOP WIDTH HEIGHT"},
		{[]string{"a 0 0 x 1"}, `"x" is no number`},
		{[]string{"0 0 0 1"}, "must be above 0"},
		{[]string{"0.5 0 0.6 1"}, "reaches beyond the picture"},
		{[]string{"0.5 0 64 64"}, "either shares of the picture"},
		{[]string{"0 0 -1 1"}, "no number between"},
		{[]string{"0 0 1 1", "b 0 0 1 1"}, "each needs a name"},
		{[]string{"b 0 0 1 1", "b 0 0 1 1"}, "the name is taken"},
	} {
		c := Config{Name: "a", Source: "demo://", ROI: tt.roi}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "roi: ") ||
			!strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %s", tt.roi, err, tt.want)
		}
	}
}
