package demo

// blur softens an interleaved picture of the sprite's size with a box of the given radii in pixels, which
// need not be whole, so that every resolution is blurred alike.
func (sp *sprite) blur(pix []uint8, channels int, radiusY, radiusX float64) {
	n := sp.side
	for i := range n {
		for c := range channels {
			sp.blurLine(pix[i*n*channels+c:], n, channels, radiusX)
		}
	}
	for i := range n {
		for c := range channels {
			sp.blurLine(pix[i*channels+c:], n, n*channels, radiusY)
		}
	}
}

// blurLine is a running mean over n values that stand step apart, zero beyond the ends. The values at the
// box's two ends count by the fraction of them that it covers.
func (sp *sprite) blurLine(pix []uint8, n, step int, radius float64) {
	if radius < 0.05 {
		return
	}
	whole := min(int(radius), n-1)
	part := int32((radius - float64(whole)) * 256)
	scale := int64(1<<24) / int64(256*(2*whole+1)+2*int(part))
	line := sp.line[:n]
	var sum int32
	for i := range line {
		line[i] = int32(pix[i*step])
		if i < whole {
			sum += line[i]
		}
	}
	for i := range line {
		var ends int32
		if j := i + whole; j < n {
			sum += line[j]
			if j+1 < n {
				ends = line[j+1]
			}
		}
		if j := i - whole; j > 0 {
			ends += line[j-1]
		}
		pix[i*step] = uint8((int64(sum<<8+ends*part)*scale + 1<<23) >> 24)
		if j := i - whole; j >= 0 {
			sum -= line[j]
		}
	}
}
