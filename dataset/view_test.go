package dataset

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// A picture of 4×2 whose levels say where they are: 10·x + 100·y.
func coordinates() *vision.Frame {
	f := new(vision.Frame)
	f.Resize(4, 2)
	for y := range 2 {
		for x := range 4 {
			for c := range 3 {
				f.Pix[y*f.Stride+3*x+c] = byte(10*x + 100*y)
			}
		}
	}
	return f
}

func TestViews(t *testing.T) {
	for name, c := range map[string]struct {
		v             View
		width, height int
		levels        []byte
	}{
		"as it is":       {View{}, 4, 2, []byte{0, 10, 20, 30, 100, 110, 120, 130}},
		"upper left":     {View{Crop: 0.5}, 2, 1, []byte{0, 10}},
		"lower right":    {View{Crop: 0.5, X: 1, Y: 1}, 2, 1, []byte{120, 130}},
		"mirrored":       {View{Flip: true}, 4, 2, []byte{30, 20, 10, 0, 130, 120, 110, 100}},
		"lighter":        {View{Light: 1}, 4, 2, []byte{0, 20, 40, 60, 200, 220, 240, 255}},
		"darker, a part": {View{Crop: 0.5, Y: 1, Light: -0.5}, 2, 1, []byte{50, 55}},
	} {
		var out vision.Frame
		c.v.of(coordinates(), &out)
		var levels []byte
		for y := range out.Height {
			for x := range out.Width {
				levels = append(levels, out.Pix[y*out.Stride+3*x+2])
			}
		}
		if out.Width != c.width || out.Height != c.height || !slices.Equal(levels, c.levels) {
			t.Errorf("%s: %d×%d %v", name, out.Width, out.Height, levels)
		}
	}
}

func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"nut/1.png", "nut/2.png", "more/bolt/1.png", "loose.png", "empty/readme.txt"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		file, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		picture := image.NewGray(image.Rect(0, 0, 2, 2))
		picture.SetGray(0, 0, color.Gray{200})
		if err := png.Encode(file, picture); err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	got, err := Folders(dir, []string{"bolt"})
	if want := []Folder{{"bolt", 1}, {"nut", 2}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, not %v", got, err, want)
	}
}
