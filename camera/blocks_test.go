package camera

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vision"
)

// Each character shows two pixels, the upper by its own colour, the lower by that behind it; a
// picture keeps its shape, is not magnified, and has its mean colours where it is made smaller.
func TestBlocks(t *testing.T) {
	f := vision.Frame{Pix: []byte{
		0, 0, 255, 0, 255, 0, 9, 9, 9, // red, green
		255, 0, 0, 255, 255, 255, 9, 9, 9, // blue, white
		10, 20, 30, 30, 40, 50, 9, 9, 9,
	}, Width: 2, Height: 3, Stride: 9}
	for _, tt := range []struct {
		columns, rows int
		trueColour    bool
		want          string
	}{
		{80, 24, true, "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[38;2;0;255;0;48;2;255;255;255m▀\x1b[0m\n" +
			"\x1b[38;2;30;20;10m▀\x1b[38;2;50;40;30m▀\x1b[0m\n"},
		{80, 24, false, "\x1b[38;5;196;48;5;21m▀\x1b[38;5;46;48;5;231m▀\x1b[0m\n" +
			"\x1b[38;5;233m▀\x1b[38;5;235m▀\x1b[0m\n"},
		{1, 24, true, "\x1b[38;2;127;127;0;48;2;83;78;137m▀\x1b[0m\n"},
		{80, 1, true, "\x1b[38;2;127;127;0;48;2;83;78;137m▀\x1b[0m\n"},
	} {
		var b bytes.Buffer
		if err := Blocks(&b, &f, tt.columns, tt.rows, tt.trueColour); err != nil {
			t.Error(err)
		}
		if b.String() != tt.want {
			t.Errorf("%d×%d, 24 bits %t:\n got %q\nwant %q", tt.columns, tt.rows, tt.trueColour, b.String(), tt.want)
		}
	}
	large := vision.Frame{}
	large.Resize(1920, 1080)
	var b bytes.Buffer
	if err := Blocks(&b, &large, 80, 24, false); err != nil {
		t.Error(err)
	}
	if rows := strings.Count(b.String(), "\n"); rows != 23 || strings.Count(b.String(), "▀") != rows*80 {
		t.Errorf("%d characters in %d rows, want 80×23", strings.Count(b.String(), "▀"), rows)
	}
	if Blocks(&b, &vision.Frame{}, 80, 24, false) == nil || Blocks(&b, &large, 0, 24, false) == nil {
		t.Error("nothing was drawn, and nothing said")
	}
}

// No other of the 240 colours is nearer than the one that is taken.
func TestNearest256(t *testing.T) {
	all := map[int][3]int{}
	for i := range 216 {
		all[16+i] = [3]int{level(i / 36), level(i / 6 % 6), level(i % 6)}
	}
	for i := range 24 {
		all[232+i] = [3]int{8 + 10*i, 8 + 10*i, 8 + 10*i}
	}
	for i := range 1 << 12 {
		rgb := [3]int{i >> 8 * 17, i >> 4 & 15 * 17, i & 15 * 17}
		got := distance(rgb, all[nearest256(rgb)])
		for number, c := range all {
			if distance(rgb, c) < got {
				t.Fatalf("%v became %d, and %d is nearer", rgb, nearest256(rgb), number)
			}
		}
	}
}
