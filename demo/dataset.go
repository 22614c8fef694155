package demo

import (
	"bufio"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/vision"
)

// Dataset describes labelled pictures for training and testing.
type Dataset struct {
	Images        int
	Seed          uint64
	Width, Height int // of each picture in pixels; the network sees the same from 320×180 and 1280×720
	Part, Parts   int // writes pictures i with i mod Parts == Part, to share the work; Parts 0 means all
}

// WriteDataset draws d into dir, one folder of PNG files for each class, as torchvision's
// ImageFolder reads them. Classes take turns, so that their counts differ by one at most. Every
// picture is a scene of its own, by the renderer of the camera, with the part where the label
// leaves no doubt: wholly inside the centre crop, or hardly. progress, where not nil, is called
// after each picture. Ends early with ctx.
func WriteDataset(ctx context.Context, dir string, d Dataset, progress func()) error {
	for i := range parts {
		if err := os.MkdirAll(filepath.Join(dir, parts[i].label), 0o755); err != nil {
			return fmt.Errorf("demo: write dataset: %w", err)
		}
	}
	s := NewScene(0, d.Width, d.Height)
	p := newPainter(d.Width, d.Height)
	for i := d.Part; i < d.Images; i += max(1, d.Parts) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("demo: write dataset: %w", err)
		}
		class := s.example(d.Seed, i, &p.frame)
		name := fmt.Sprintf("%06d.png", i)
		if err := p.write(filepath.Join(dir, parts[class].label, name)); err != nil {
			return fmt.Errorf("demo: write dataset: %w", err)
		}
		if progress != nil {
			progress()
		}
	}
	return nil
}

// example draws picture i of the dataset with the given seed and returns its class.
func (s *Scene) example(seed uint64, i int, f *vision.Frame) int {
	r := mix(seed, uint64(i), 0xda7a)
	s.forced = i % len(parts)
	s.reseed(r.next())
	away := 0.16 // wholly inside the crop
	if s.forced == empty {
		away = 0.68 // the edge of a neighbour may look in
	}
	s.paint(s.slotAt(0).x+r.between(-away, away), mix(r.next()), f)
	return s.forced
}

// painter turns frames into PNG files, reusing its memory.
type painter struct {
	frame   vision.Frame
	picture *image.RGBA
	encoder png.Encoder
	buffer  *png.EncoderBuffer
	out     *bufio.Writer
}

func newPainter(width, height int) *painter {
	p := &painter{picture: image.NewRGBA(image.Rect(0, 0, width, height)), out: bufio.NewWriterSize(nil, 1<<16)}
	p.encoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: p}
	return p
}

// Get and Put make p the encoder's one-place pool.
func (p *painter) Get() *png.EncoderBuffer  { return p.buffer }
func (p *painter) Put(b *png.EncoderBuffer) { p.buffer = b }

func (p *painter) write(path string) (err error) {
	bgr, rgba := p.frame.Pix, p.picture.Pix
	for i := range len(bgr) / 3 {
		rgba[4*i], rgba[4*i+1], rgba[4*i+2], rgba[4*i+3] = bgr[3*i+2], bgr[3*i+1], bgr[3*i], 255
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	p.out.Reset(f)
	if err := p.encoder.Encode(p.out, p.picture); err != nil {
		return err
	}
	return p.out.Flush()
}
