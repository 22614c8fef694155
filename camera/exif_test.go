package camera_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// turnedJPEG is 64×32 pixels as stored, white in its left half, with an EXIF that says that the
// camera was turned (orientation 6: the first row is the right side of what was seen).
func turnedJPEG(t *testing.T) string {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 64, 32))
	for y := range 32 {
		for x := range 32 {
			img.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	exif := []byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01" + // big-endian TIFF, one entry
		"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00")
	length := len(exif) + 2
	data := append([]byte{0xff, 0xd8, 0xff, 0xe1, byte(length >> 8), byte(length)}, exif...)
	path := filepath.Join(t.TempDir(), "turned.jpg")
	if err := os.WriteFile(path, append(data, b.Bytes()[2:]...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A photograph of a turned camera stands upright, or is taken as it is stored: torchvision's
// ImageFolder does that.
func TestReadPictureAsEXIFSaysOrAsStored(t *testing.T) {
	path := turnedJPEG(t)
	var f vision.Frame
	err := camera.ReadPicture(path, &f, true)
	if errors.Is(err, camera.ErrNoOpenCV) {
		t.Skip("this build reads no JPEG")
	}
	// the stored left half is the upper one of what was seen
	if err != nil || f.Width != 32 || f.Height != 64 || f.Pix[0] < 250 || f.Pix[len(f.Pix)-1] > 5 ||
		f.Pix[3*31] < 250 {
		t.Errorf("upright: %v, %d×%d", err, f.Width, f.Height)
	}
	if err := camera.ReadPicture(path, &f, false); err != nil || f.Width != 64 || f.Height != 32 || f.Pix[0] < 250 ||
		f.Pix[3*63] > 5 {
		t.Errorf("as stored: %v, %d×%d", err, f.Width, f.Height)
	}
}
