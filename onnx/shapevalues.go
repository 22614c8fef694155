package onnx

import "slices"

// value follows the small integers that exporters compute shapes with; nil where it cannot.
func (s *shaper) value(n *Node) []int64 {
	switch n.OpType {
	case "Constant":
		if a := n.Attribute("value"); a != nil && a.Tensor != nil && a.Tensor.Type == Int64 &&
			len(a.Tensor.Dims) <= 1 {
			return a.Tensor.Int64s()
		}
	case "Shape":
		x := s.in(n, 0)
		if x == nil {
			return nil
		}
		from, to := bounds(integer(n, "start", 0), integer(n, "end", int64(len(x))), len(x))
		return slices.Clone(x[from:max(from, to)])
	case "Gather":
		return s.gathered(n)
	case "Unsqueeze", "Squeeze", "Cast", "Identity":
		return s.values[n.Inputs[0]]
	case "Slice":
		return s.sliced(n)
	case "Add", "Sub", "Mul", "Div":
		return s.arithmetic(n)
	case "Concat":
		var all []int64
		for _, in := range n.Inputs {
			if s.values[in] == nil {
				return nil
			}
			all = append(all, s.values[in]...)
		}
		return all
	}
	return nil
}

// bounds are a half-open range of n things, whose ends count from the back where they are below 0.
func bounds(from, to int64, n int) (int64, int64) {
	within := func(v int64) int64 {
		if v < 0 {
			v += int64(n)
		}
		return max(0, min(int64(n), v))
	}
	return within(from), within(to)
}

// gathered are entries of known integers.
func (s *shaper) gathered(n *Node) (all []int64) {
	from, at := s.values[n.Inputs[0]], s.ints(n, "", 1)
	if from == nil || len(s.in(n, 0)) > 1 {
		return nil
	}
	for _, i := range at {
		if i < 0 {
			i += int64(len(from))
		}
		if i < 0 || i >= int64(len(from)) {
			return nil
		}
		all = append(all, from[i])
	}
	return all
}

// sliced is a run of known integers.
func (s *shaper) sliced(n *Node) []int64 {
	x, starts, ends := s.values[n.Inputs[0]], s.ints(n, "starts", 1), s.ints(n, "ends", 2)
	if x == nil || len(starts) != 1 || len(ends) != 1 || len(n.Inputs) > 4 {
		return nil
	}
	from, to := bounds(starts[0], ends[0], len(x))
	if from >= to {
		return nil
	}
	return slices.Clone(x[from:to])
}

// arithmetic is that of integers; one of them goes with each of the others.
func (s *shaper) arithmetic(n *Node) []int64 {
	if len(n.Inputs) != 2 {
		return nil
	}
	a, b := s.values[n.Inputs[0]], s.values[n.Inputs[1]]
	if len(a) == 0 || len(b) == 0 || len(a) != len(b) && len(a) != 1 && len(b) != 1 {
		return nil
	}
	out := make([]int64, max(len(a), len(b)))
	for i := range out {
		x, y := a[i%len(a)], b[i%len(b)]
		switch n.OpType {
		case "Add":
			out[i] = x + y
		case "Sub":
			out[i] = x - y
		case "Mul":
			out[i] = x * y
		case "Div":
			if y == 0 {
				return nil
			}
			out[i] = x / y
		}
	}
	return out
}
