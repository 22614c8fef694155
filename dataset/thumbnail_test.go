package dataset

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// TestThumbnail: as wide as asked, proportions and colours kept; a small picture stays as it is,
// and a file that is none is an error.
func TestThumbnail(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ width, height, wide, high int }{
		"large.png": {641, 321, 128, 64}, "small.png": {20, 30, 20, 30}, "tall.png": {161, 700, 80, 350},
	} {
		img := image.NewRGBA(image.Rect(0, 0, c.width, c.height))
		for i := range c.width * c.height {
			img.Set(i%c.width, i/c.width, color.RGBA{200, 100, 20, 255})
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := Thumbnail(path, 160)
		if err != nil {
			t.Fatal(err)
		}
		small, err := jpeg.Decode(bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		if r := small.Bounds(); r.Dx() != c.wide || r.Dy() != c.high {
			t.Errorf("%s: %v, want %d×%d", name, r, c.wide, c.high)
		}
		if r, g, b, _ := small.At(5, 5).RGBA(); r>>8 < 190 || g>>8 < 90 || g>>8 > 110 || b>>8 > 35 {
			t.Errorf("%s: colour %d, %d, %d", name, r>>8, g>>8, b>>8)
		}
	}
	broken := filepath.Join(dir, "broken.png")
	if err := os.WriteFile(broken, []byte("no picture"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Thumbnail(broken, 160); err == nil {
		t.Error("a file that is no picture has a thumbnail")
	}
}
