package demo

// softBox is a box filter whose half-width in pixels need not be whole, so that every resolution is
// blurred alike: the two pixels at its ends count by the fraction of them that it covers.
type softBox struct {
	whole int
	part  int32 // fraction of the end pixels, 256 is all
	scale int64 // 2²⁴ over the total weight
}

func newSoftBox(radius float64, side int) softBox {
	b := softBox{whole: min(int(radius), side-1)}
	b.part = int32(min(radius-float64(b.whole), 1) * 256)
	b.scale = int64(1<<24) / int64(256*(2*b.whole+1)+2*int(b.part))
	return b
}

func (b softBox) mean(sum, ends int32) uint8 {
	return uint8((int64(sum<<8+ends*b.part)*b.scale + 1<<23) >> 24)
}

// blur softens a picture of the sprite's size with interleaved channels; beyond its edge all is
// zero.
func (sp *sprite) blur(pix []uint8, channels int, radiusY, radiusX float64) {
	stride := sp.side * channels
	across, down := newSoftBox(radiusX, sp.side), newSoftBox(radiusY, sp.side)
	for i := range sp.side {
		for c := range channels {
			across.row(sp.copy[i*stride+c:], pix[i*stride+c:], sp.side, channels)
		}
	}
	down.columns(pix[:stride*sp.side], sp.copy[:stride*sp.side], sp.sums[:stride], sp.side)
}

// row filters n values that stand step apart.
func (b softBox) row(dst, src []uint8, n, step int) {
	var sum int32
	for i := range b.whole {
		sum += int32(src[i*step])
	}
	for i := range n {
		var ends int32
		if j := i + b.whole; j < n {
			sum += int32(src[j*step])
			if j+1 < n {
				ends = int32(src[(j+1)*step])
			}
		}
		if j := i - b.whole; j > 0 {
			ends += int32(src[(j-1)*step])
		}
		dst[i*step] = b.mean(sum, ends)
		if j := i - b.whole; j >= 0 {
			sum -= int32(src[j*step])
		}
	}
}

// columns filters all columns at once, a row at a time, with a running sum for each.
func (b softBox) columns(dst, src []uint8, sums []int32, n int) {
	clear(sums)
	stride := len(sums)
	line := func(i int) []uint8 {
		if i < 0 || i >= n {
			return nil
		}
		return src[i*stride:][:stride]
	}
	for i := range b.whole {
		add(sums, line(i), 1)
	}
	for i := range n {
		add(sums, line(i+b.whole), 1)
		out, below, above := dst[i*stride:][:stride], line(i+b.whole+1), line(i-b.whole-1)
		for x := range out {
			var ends int32
			if below != nil {
				ends = int32(below[x])
			}
			if above != nil {
				ends += int32(above[x])
			}
			out[x] = b.mean(sums[x], ends)
		}
		add(sums, line(i-b.whole), -1)
	}
}

func add(sums []int32, line []uint8, sign int32) {
	for x, v := range line {
		sums[x] += sign * int32(v)
	}
}
