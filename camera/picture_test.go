package camera

import (
	"fmt"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// Every way to turn a 3×2 picture, from every number of channels. Pixels are named by letters.
func TestCopyTo(t *testing.T) {
	const source = "abc" + "def"
	turned := map[Flip][]string{
		FlipNone: {"abc", "def"}, FlipHorizontal: {"cba", "fed"}, FlipVertical: {"def", "abc"},
		FlipRotate180: {"fed", "cba"}, FlipClockwise: {"da", "eb", "fc"}, FlipCounterclockwise: {"cf", "be", "ad"},
	}
	for flip, want := range turned {
		for _, channels := range []int{1, 3, 4} {
			t.Run(fmt.Sprintf("%s %d", flip, channels), func(t *testing.T) {
				p := picture{width: 3, height: 2, channels: channels}
				for _, c := range []byte(source) {
					p.pix = append(p.pix, []byte{c, c + 100, c + 50, 7}[:channels]...)
				}
				var f vision.Frame
				if err := p.copyTo(&f, flip); err != nil {
					t.Fatal(err)
				}
				if f.Width != len(want[0]) || f.Height != len(want) {
					t.Fatalf("got %d×%d", f.Width, f.Height)
				}
				for y, row := range want {
					for x, c := range []byte(row) {
						pixel := [3]byte(f.Pix[y*f.Stride+3*x:])
						if channels == 1 && pixel != [3]byte{c, c, c} || channels > 1 &&
							pixel != [3]byte{c, c + 100, c + 50} {
							t.Errorf("(%d,%d) is %v, want %c", x, y, pixel, c)
						}
					}
				}
			})
		}
	}
}

// Rows of every length come out of the packed loop and its rest.
func TestDropFourth(t *testing.T) {
	for width := range 12 {
		row, dst := make([]byte, 4*width), make([]byte, 3*width+1)
		for i := range row {
			row[i] = byte(i + 1)
		}
		dropFourth(dst, row)
		for i := range 3 * width {
			if want := byte(i/3*4 + i%3 + 1); dst[i] != want {
				t.Errorf("%d pixels: byte %d is %d, want %d", width, i, dst[i], want)
			}
		}
		if dst[3*width] != 0 {
			t.Errorf("%d pixels: wrote beyond the row", width)
		}
	}
}

func TestCopyToRefuses(t *testing.T) {
	var f vision.Frame
	for _, p := range []picture{
		{}, {pix: make([]byte, 11), width: 2, height: 2, channels: 3}, {pix: make([]byte, 8), width: 2, height: 2,
			channels: 2},
	} {
		if err := p.copyTo(&f, FlipNone); err == nil {
			t.Errorf("%d×%d×%d of %d bytes was copied", p.width, p.height, p.channels, len(p.pix))
		}
	}
}

func BenchmarkCopyTo(b *testing.B) {
	for _, bm := range []struct {
		channels int
		flip     Flip
	}{{3, FlipNone}, {4, FlipNone}, {3, FlipRotate180}, {3, FlipClockwise}} {
		b.Run(fmt.Sprintf("%d%s", bm.channels, bm.flip), func(b *testing.B) {
			p := picture{pix: make([]byte, 1280*720*bm.channels), width: 1280, height: 720, channels: bm.channels}
			var f vision.Frame
			b.ReportAllocs()
			for b.Loop() {
				if err := p.copyTo(&f, bm.flip); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
