package worker

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// pictureFile writes picture n of some width under a name, all at once.
func pictureFile(t *testing.T, path string, n int) {
	t.Helper()
	var f vision.Frame
	f.Resize(cameratest.Width, cameratest.Height)
	cameratest.Draw(f.Pix, n)
	var b bytes.Buffer
	past := time.Now().Add(time.Duration(n)*time.Minute - time.Hour)
	err := png.Encode(&b, f.Image())
	err = errors.Join(err, os.WriteFile(path+".part", b.Bytes(), 0o600))
	if err = errors.Join(err, os.Chtimes(path+".part", past, past), os.Rename(path+".part", path)); err != nil {
		t.Fatal(err)
	}
}

// A picture that is exchanged for another file, and one that comes into a folder, are seen from
// inside the sandbox.
func TestPicturesComeLater(t *testing.T) {
	dir := t.TempDir()
	pictureFile(t, filepath.Join(dir, "a.png"), 1)
	single := open(t, newCamera(t, "file://"+dir+"/a.png?loop=-1&fps=50"))
	folder := open(t, newCamera(t, "file://"+dir+"?loop=-1&fps=50"))
	var f, g vision.Frame
	until := func(what string, n int, read func() *vision.Frame) {
		t.Helper()
		for end := time.Now().Add(hangs); cameratest.Number(read()) != n; {
			if time.Now().After(end) {
				t.Fatalf("%s: picture %d did not come", what, n)
			}
		}
	}
	ofSingle := func() *vision.Frame {
		if err := single.Read(soon(t), &f); err != nil {
			t.Fatal(err)
		}
		return &f
	}
	ofFolder := func() *vision.Frame {
		if err := folder.Read(soon(t), &g); err != nil {
			t.Fatal(err)
		}
		return &g
	}
	until("a picture", 1, ofSingle)
	until("a folder", 1, ofFolder)
	pictureFile(t, filepath.Join(dir, "a.png"), 2)
	pictureFile(t, filepath.Join(dir, "b.png"), 3)
	until("a picture that was exchanged", 2, ofSingle)
	until("a picture that came into the folder", 3, ofFolder)
}
