package importer

import (
	"fmt"

	"github.com/vggse/vggse-agent/vision"
)

// Bounds of what preprocessing makes of a picture: less than the first is no picture any more, more
// than the second is no usual one.
const (
	narrowest = 0.1
	widest    = 600
)

// contradiction says how scale, mean and std of a declaration cannot belong together, "" where they
// can.
func contradiction(p *vision.Preprocess) string {
	for c := range 3 {
		span := 255 * p.Scale / p.Std[c]
		lo := -p.Mean[c] / p.Std[c]
		hi := lo + span
		if span < 0 {
			lo, hi, span = hi, lo, -span
		}
		units := span < narrowest || lo > 2*span || hi < -2*span
		if fractions := p.Mean[c] > 0 && p.Mean[c] <= 1 && p.Std[c] <= 1; units || span > widest ||
			fractions && 255*p.Scale > 10 {
			return fmt.Sprintf("scale, mean and std contradict one another: every picture becomes %.4g to %.4g; mean "+
				"and std must be in the units that scale makes (123.675 goes with scale=1, 0.485 with scale=1/255)",
				lo, hi)
		}
	}
	return ""
}
