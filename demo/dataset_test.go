package demo

import (
	"bytes"
	"context"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

func TestWriteDatasetIsBalancedAndReadable(t *testing.T) {
	dir, drawn := t.TempDir(), 0
	d := Dataset{Images: 30, Seed: 5, Width: 160, Height: 90}
	if err := WriteDataset(context.Background(), dir, d, func() { drawn++ }); err != nil {
		t.Fatal(err)
	}
	if drawn != d.Images {
		t.Errorf("progress was called %d times, want %d", drawn, d.Images)
	}
	seen := map[string]string{}
	for i, label := range Classes() {
		files, err := filepath.Glob(filepath.Join(dir, label, "*.png"))
		if err != nil {
			t.Fatal(err)
		}
		want := d.Images / len(parts)
		if i < d.Images%len(parts) {
			want++
		}
		if len(files) != want {
			t.Errorf("%s: %d pictures, want %d", label, len(files), want)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			config, err := png.DecodeConfig(bytes.NewReader(data))
			if err != nil || config.Width != 160 || config.Height != 90 {
				t.Errorf("%s: %d×%d, %v", path, config.Width, config.Height, err)
			}
			if twin, ok := seen[string(data)]; ok {
				t.Errorf("%s and %s are the same picture", path, twin)
			}
			seen[string(data)] = path
		}
	}
}

func TestWriteDatasetInSharesGivesTheSamePictures(t *testing.T) {
	whole, shared := t.TempDir(), t.TempDir()
	d := Dataset{Images: 14, Seed: 6, Width: 128, Height: 72}
	if err := WriteDataset(context.Background(), whole, d, nil); err != nil {
		t.Fatal(err)
	}
	for d.Parts = 3; d.Part < 3; d.Part++ {
		if err := WriteDataset(context.Background(), shared, d, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(shared, os.DirFS(whole)); !errors.Is(err, os.ErrExist) {
		t.Fatalf("the shares hold other files than the whole: %v", err)
	}
	for _, name := range []string{"bearing/000000.png", "bearing/000013.png", "washer-split/000012.png"} {
		a, errA := os.ReadFile(filepath.Join(whole, name))
		b, errB := os.ReadFile(filepath.Join(shared, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs between whole and shares (%v, %v)", name, errA, errB)
		}
	}
}

func TestWriteDatasetStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	drawn := 0
	err := WriteDataset(ctx, t.TempDir(), Dataset{Images: 100, Width: 64, Height: 64}, func() {
		if drawn++; drawn == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || drawn != 3 {
		t.Errorf("got %v after %d pictures, want context.Canceled after 3", err, drawn)
	}
}

// TestExamplesShowTheirPart measures that a part changes the middle of the picture and empty belt
// does not.
func TestExamplesShowTheirPart(t *testing.T) {
	s, bare := NewScene(0, 320, 180), NewScene(0, 320, 180)
	var f, g vision.Frame
	for i := range 4 * len(parts) {
		class := s.example(11, i, &f)
		r := mix(11, uint64(i), 0xda7a)
		bare.forced = empty
		bare.reseed(r.next())
		bare.paint(bare.slotAt(0).x+r.between(-0.16, 0.16), mix(r.next()), &g)
		if class == empty {
			continue
		}
		changed := 0
		for p := range f.Pix {
			if d := int(f.Pix[p]) - int(g.Pix[p]); d > 6 || d < -6 {
				changed++
			}
		}
		if share := float64(changed) / float64(len(f.Pix)); share < 0.004 {
			t.Errorf("picture %d (%s): only %.2f %% differ from bare belt", i, parts[class].label, 100*share)
		}
	}
}
