package vgg16se

import "math"

// attend computes the block of l on x, whose shape is in, in place.
func attend(l Layer, in []int, x []float64, p []floats) []float64 {
	c, area := in[0], in[1]*in[2]
	switch l.Op {
	case OpSE:
		if len(p) == 4 {
			return scale(x, c, sigmoid(excite(mean(x, c), l, p[0], p[1], p[2], p[3])), nil)
		}
		return scale(x, c, sigmoid(excite(mean(x, c), l, p[0], nil, p[1], nil)), nil)
	case OpSSE:
		return scale(x, c, nil, sigmoid(convolve(x, in, 1, 1, 1, p[0], nil)))
	case OpSCSE:
		channels := sigmoid(excite(mean(x, c), l, p[0], nil, p[1], nil))
		places := sigmoid(convolve(x, in, 1, 1, 1, p[2], nil))
		for i := range x {
			x[i] *= channels[i/area] + places[i%area]
		}
	case OpBAM:
		channels := excite(mean(x, c), l, p[0], p[1], p[2], p[3])
		places := bamPlaces(l, in, x, p[4:])
		for i := range x {
			x[i] *= 1 + 1/(1+math.Exp(-channels[i/area]-places[i%area]))
		}
	case OpCBAM:
		channels := excite(mean(x, c), l, p[0], nil, p[1], nil)
		for i, v := range excite(highest(x, c), l, p[0], nil, p[1], nil) {
			channels[i] += v
		}
		scale(x, c, sigmoid(channels), nil)
		both := make([]float64, 2*area) // over the channels: mean, then maximum
		for i := range area {
			both[area+i] = x[i]
			for ch := range c {
				both[i] += x[ch*area+i] / float64(c)
				both[area+i] = max(both[area+i], x[ch*area+i])
			}
		}
		scale(x, c, nil, sigmoid(convolve(both, []int{2, in[1], in[2]}, 1, 7, 1, p[2], nil)))
	}
	return x
}

func bamPlaces(l Layer, in []int, x []float64, p []floats) []float64 {
	r := l.Params[0].Shape[0]
	small := []int{r, in[1], in[2]}
	y := rectify(convolve(x, in, r, 1, 1, p[0], p[1]))
	y = rectify(convolve(y, small, r, 3, dilation, p[2], p[3]))
	y = rectify(convolve(y, small, r, 3, dilation, p[4], p[5]))
	return convolve(y, small, 1, 1, 1, p[6], p[7])
}

// excite is W2·relu(W1·v + b1) + b2; a bias may be nil.
func excite(v []float64, l Layer, w1, b1, w2, b2 floats) []float64 {
	return linear(rectify(linear(v, l.Params[0].Shape[0], w1, b1)), len(v), w2, b2)
}

// scale multiplies every channel with its gate, or every place with its; the other is nil.
func scale(x []float64, c int, channels, places []float64) []float64 {
	area := len(x) / c
	for i := range x {
		if channels != nil {
			x[i] *= channels[i/area]
		} else {
			x[i] *= places[i%area]
		}
	}
	return x
}

func mean(x []float64, c int) []float64 {
	area := len(x) / c
	m := make([]float64, c)
	for i, v := range x {
		m[i/area] += v
	}
	for i := range m {
		m[i] /= float64(area)
	}
	return m
}

func highest(x []float64, c int) []float64 {
	area := len(x) / c
	m := make([]float64, c)
	for ch := range m {
		m[ch] = x[ch*area]
		for _, v := range x[ch*area:][:area] {
			m[ch] = max(m[ch], v)
		}
	}
	return m
}

func rectify(x []float64) []float64 {
	for i, v := range x {
		x[i] = max(v, 0)
	}
	return x
}

func sigmoid(x []float64) []float64 {
	for i, v := range x {
		x[i] = 1 / (1 + math.Exp(-v))
	}
	return x
}

// convolve is a k×k convolution with zeros around, as many as keep the size; bias may be nil.
func convolve(x []float64, in []int, out, k, dilation int, weight, bias floats) []float64 {
	c, h, w := in[0], in[1], in[2]
	y := make([]float64, 0, out*h*w)
	for o := range out {
		for i := range h {
			for j := range w {
				sum := 0.0
				if bias != nil {
					sum = bias.at(o)
				}
				for t := range c * k * k {
					ch, row, column := t/(k*k), i+(t/k%k-k/2)*dilation, j+(t%k-k/2)*dilation
					if row >= 0 && row < h && column >= 0 && column < w {
						sum += weight.at(o*c*k*k+t) * x[(ch*h+row)*w+column]
					}
				}
				y = append(y, sum)
			}
		}
	}
	return y
}
