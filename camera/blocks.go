package camera

import (
	"bufio"
	"fmt"
	"io"

	"github.com/vggse/vggse-agent/vision"
)

// Blocks writes a frame as lines of coloured half blocks, each of which shows two pixels one above
// the other, on a terminal of so many columns and rows, whose cells are about twice as high as wide.
// trueColour: with 24 bits for a colour; else with the nearest of xterm's 256.
func Blocks(w io.Writer, f *vision.Frame, columns, rows int, trueColour bool) error {
	if f.Width < 1 || f.Height < 1 || columns < 1 || rows < 1 {
		return fmt.Errorf("camera: a frame of %d×%d pixels has no place on %d×%d characters", f.Width, f.Height,
			columns, rows)
	}
	width := min(columns, f.Width, max(1, 2*rows*f.Width/f.Height))
	height := max(1, min(2*rows, (f.Height*width+f.Width/2)/f.Width))
	out := bufio.NewWriter(w)
	for y := 0; y < height; y += 2 {
		for x := range width {
			fmt.Fprintf(out, "\x1b[38;%s", colourCode(mean(f, x, y, width, height), trueColour))
			if y+1 < height {
				fmt.Fprintf(out, ";48;%s", colourCode(mean(f, x, y+1, width, height), trueColour))
			}
			out.WriteString("m▀")
		}
		out.WriteString("\x1b[0m\n")
	}
	return out.Flush()
}

// mean is the mean red, green and blue of the pixels below cell x, y of a grid over the frame.
func mean(f *vision.Frame, x, y, width, height int) (rgb [3]int) {
	left, right := x*f.Width/width, max((x+1)*f.Width/width, x*f.Width/width+1)
	top, bottom := y*f.Height/height, max((y+1)*f.Height/height, y*f.Height/height+1)
	for v := top; v < bottom; v++ {
		row := f.Pix[v*f.Stride:]
		for u := left; u < right; u++ {
			for i := range rgb {
				rgb[i] += int(row[3*u+2-i])
			}
		}
	}
	for i := range rgb {
		rgb[i] /= (right - left) * (bottom - top)
	}
	return rgb
}

// colourCode is the part of an SGR sequence behind 38; or 48; (ISO 8613-6).
func colourCode(rgb [3]int, trueColour bool) string {
	if trueColour {
		return fmt.Sprintf("2;%d;%d;%d", rgb[0], rgb[1], rgb[2])
	}
	return fmt.Sprintf("5;%d", nearest256(rgb))
}

// nearest256 is the number of xterm's colour that is nearest: of its cube of 6×6×6, 16 to 231, or
// its 24 greys, 232 to 255.
func nearest256(rgb [3]int) int {
	number, cube := 16, [3]int{}
	for i, scale := range [3]int{36, 6, 1} {
		step := 0
		if rgb[i] >= 48 { // half-way between 0 and 95
			step = max(1, min(5, (rgb[i]-35)/40))
		}
		number += scale * step
		cube[i] = level(step)
	}
	step := max(0, min(23, ((rgb[0]+rgb[1]+rgb[2])/3-3)/10))
	grey := 8 + 10*step
	if distance(rgb, [3]int{grey, grey, grey}) < distance(rgb, cube) {
		return 232 + step
	}
	return number
}

// level is the brightness of a step of the cube.
func level(step int) int {
	if step == 0 {
		return 0
	}
	return 55 + 40*step
}

func distance(a, b [3]int) (d int) {
	for i := range a {
		d += (a[i] - b[i]) * (a[i] - b[i])
	}
	return d
}
