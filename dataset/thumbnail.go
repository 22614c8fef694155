package dataset

import (
	"bytes"
	"image"
	"image/jpeg"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// Thumbnail is the picture at path as a JPEG that is at most width pixels wide, for reports: each
// pixel the mean of those that it stands for.
func Thumbnail(path string, width int) ([]byte, error) {
	var f vision.Frame
	if err := camera.ReadImage(path, &f); err != nil {
		return nil, err
	}
	step := max(1, (f.Width+width-1)/width)
	small := image.NewRGBA(image.Rect(0, 0, max(1, f.Width/step), max(1, f.Height/step)))
	for y := range small.Rect.Dy() {
		for x := range small.Rect.Dx() {
			var sum [3]int // blue, green, red
			n := 0
			for j := y * step; j < min((y+1)*step, f.Height); j++ {
				for i := x * step; i < min((x+1)*step, f.Width); i++ {
					for c := range sum {
						sum[c] += int(f.Pix[j*f.Stride+3*i+c])
					}
					n++
				}
			}
			p := small.Pix[y*small.Stride+4*x:]
			p[0], p[1], p[2], p[3] = byte(sum[2]/n), byte(sum[1]/n), byte(sum[0]/n), 255
		}
	}
	var b bytes.Buffer
	err := jpeg.Encode(&b, small, &jpeg.Options{Quality: 80})
	return b.Bytes(), err
}
