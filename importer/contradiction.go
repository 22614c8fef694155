package importer

import (
	"fmt"
	"math"

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
	if order := imageNetOrder(p); order != "" && p.Channels != vision.ChannelsGrey && order != p.Channels {
		return fmt.Sprintf("channels and mean contradict one another: mean is ImageNet's in the order of %s, channels "+
			"says %s; mean and std stand in the order of channels", order, p.Channels)
	}
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

// imageNetOrder is the order of channels in which mean is ImageNet's, in any of the units that are
// in use; "" where it is another.
func imageNetOrder(p *vision.Preprocess) string {
	for _, unit := range []float64{1, 255} {
		for order, known := range map[string][3]float64{
			vision.ChannelsRGB: {0.485, 0.456, 0.406}, vision.ChannelsBGR: {0.406, 0.456, 0.485}} {
			near := true
			for c := range 3 {
				near = near && math.Abs(p.Mean[c]/unit-known[c]) < 0.01
			}
			if near {
				return order
			}
		}
	}
	return ""
}
