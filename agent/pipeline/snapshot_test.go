package pipeline

import (
	"bytes"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// A picture is halved until it fits, and its colours are the right way round.
func TestEncodeShot(t *testing.T) {
	var f vision.Frame
	f.Resize(1921, 1080)
	noise := rand.New(rand.NewPCG(1, 2))
	for i := range f.Pix {
		f.Pix[i] = byte(noise.IntN(256))
	}
	b, err := EncodeJPEG(&f, 100<<10)
	if err != nil || len(b) > 100<<10 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil || img.Bounds().Dx() < 200 || img.Bounds().Dx() > 960 {
		t.Fatalf("%v, %v", err, img.Bounds())
	}
	f.Resize(40, 30)
	for i := range f.Pix {
		f.Pix[i] = []byte{200, 0, 0}[i%3]
	}
	if b, err = EncodeJPEG(&f, 100<<10); err != nil {
		t.Fatal(err)
	}
	if img, err = jpeg.Decode(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if red, _, blue, _ := img.At(20, 15).RGBA(); red > 40<<8 || blue < 180<<8 {
		t.Errorf("red %d, blue %d of a blue picture", red>>8, blue>>8)
	}
	if _, err := EncodeJPEG(&f, 10); err == nil {
		t.Error("no error for 10 bytes")
	}
}
