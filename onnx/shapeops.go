package onnx

import "slices"

// window is the shape after a kernel has gone over x, batch and channels first (ONNX's Conv and
// MaxPool).
func window(n *Node, x, kernel []int64) []int64 {
	out := slices.Clone(x)
	at := func(name string, i int, otherwise int64) int64 {
		if a := n.Attribute(name); a != nil && i < len(a.Ints) {
			return a.Ints[i]
		}
		return otherwise
	}
	auto := ""
	if a := n.Attribute("auto_pad"); a != nil {
		auto = a.String
	}
	for i, k := range kernel {
		stride := max(1, at("strides", i, 1))
		room := x[i+2] + at("pads", i, 0) + at("pads", i+len(kernel), 0) - (k-1)*at("dilations", i, 1) - 1
		switch {
		case auto == "SAME_UPPER" || auto == "SAME_LOWER":
			out[i+2] = (x[i+2] + stride - 1) / stride
		case room < 0:
			return nil
		case integer(n, "ceil_mode", 0) == 1:
			out[i+2] = (room+stride-1)/stride + 1
		default:
			out[i+2] = room/stride + 1
		}
	}
	return out
}

// pooled has every dimension behind the channels reduced to 1.
func pooled(x []int64) []int64 {
	out := slices.Clone(x)
	for i := 2; i < len(out); i++ {
		out[i] = 1
	}
	return out
}

func flat(x []int64, axis int) []int64 {
	if axis < 0 {
		axis += len(x)
	}
	if axis < 0 || axis > len(x) {
		return nil
	}
	return []int64{product(x[:axis]), product(x[axis:])}
}

func product(x []int64) int64 {
	n := int64(1)
	for _, d := range x {
		n *= d
	}
	return n
}

func (s *shaper) gemm(n *Node, x []int64) []int64 {
	w := s.in(n, 1)
	if len(x) != 2 || len(w) != 2 {
		return nil
	}
	return []int64{x[integer(n, "transA", 0)&1], w[1-integer(n, "transB", 0)&1]}
}

// matmul multiplies the last two dimensions and broadcasts the ones before.
func matmul(x, w []int64) []int64 {
	if len(x) < 2 || len(w) < 2 || x[len(x)-1] != w[len(w)-2] {
		return nil
	}
	batch := broadcast(x[:len(x)-2], w[:len(w)-2])
	if batch == nil {
		return nil
	}
	return append(batch, x[len(x)-2], w[len(w)-1])
}

// broadcast follows NumPy's rule.
func broadcast(a, b []int64) []int64 {
	if a == nil || b == nil {
		return nil
	}
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append([]int64{}, a...)
	for i, d := range b {
		at := len(a) - len(b) + i
		switch {
		case out[at] == 1:
			out[at] = d
		case d != 1 && d != out[at]:
			return nil
		}
	}
	return out
}

// reshape takes 0 as the dimension of x at that place and one −1 as what is left.
func reshape(x, want []int64) []int64 {
	if want == nil {
		return nil
	}
	out, open, rest := slices.Clone(want), -1, product(x)
	for i, d := range out {
		switch {
		case d == 0 && i < len(x):
			out[i] = x[i]
		case d == -1 && open < 0:
			open = i
			continue
		case d < 1:
			return nil
		}
		if out[i] < 1 || rest%out[i] != 0 {
			return nil
		}
		rest /= out[i]
	}
	if open >= 0 {
		out[open] = rest
	}
	return out
}

// reduce takes the dimensions axes away, or leaves 1 for them; of no axes all that are 1 (Squeeze).
func reduce(x, axes []int64, keep bool) []int64 {
	out := []int64{}
	for i, d := range x {
		gone := slices.Contains(axes, int64(i)) || slices.Contains(axes, int64(i-len(x))) || axes == nil && d == 1
		switch {
		case !gone:
			out = append(out, d)
		case keep:
			out = append(out, 1)
		}
	}
	return out
}

func unsqueeze(x, axes []int64) []int64 {
	if axes == nil {
		return nil
	}
	rank := len(x) + len(axes)
	out := make([]int64, 0, rank)
	for i := range rank {
		if slices.Contains(axes, int64(i)) || slices.Contains(axes, int64(i-rank)) {
			out = append(out, 1)
		} else if len(x) > 0 {
			out, x = append(out, x[0]), x[1:]
		}
	}
	return out
}

func (s *shaper) concat(n *Node, x []int64) []int64 {
	axis := int(integer(n, "axis", 0))
	if axis < 0 {
		axis += len(x)
	}
	out := slices.Clone(x)
	for i := 1; i < len(n.Inputs); i++ {
		next := s.in(n, i)
		if len(next) != len(x) || axis < 0 || axis >= len(x) {
			return nil
		}
		out[axis] += next[axis]
	}
	return out
}

func transpose(x, order []int64) []int64 {
	out := make([]int64, len(x))
	for i := range x {
		from := int64(len(x) - 1 - i)
		if order != nil && i < len(order) {
			from = order[i]
		}
		if from < 0 || from >= int64(len(x)) {
			return nil
		}
		out[i] = x[from]
	}
	return out
}

// resized has other lengths: of all dimensions, or of the given ones.
func resized(x, sizes, axes []int64) []int64 {
	if axes == nil {
		for i := range x {
			axes = append(axes, int64(i))
		}
	}
	if len(sizes) != len(axes) {
		return nil
	}
	out := slices.Clone(x)
	for i, axis := range axes {
		if axis < 0 {
			axis += int64(len(x))
		}
		if axis < 0 || axis >= int64(len(x)) {
			return nil
		}
		out[axis] = sizes[i]
	}
	return out
}
