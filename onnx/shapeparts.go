package onnx

import "slices"

// split sets the shapes of the parts that a Split makes.
func (s *shaper) split(n *Node) {
	x := s.in(n, 0)
	axis := integer(n, "axis", 0)
	if axis < 0 {
		axis += int64(len(x))
	}
	if x == nil || axis < 0 || axis >= int64(len(x)) {
		return
	}
	parts, count := s.ints(n, "split", 1), int64(len(n.Outputs))
	if parts == nil { // equal ones, the last of them shorter
		each := (x[axis] + count - 1) / count
		for i := range count {
			parts = append(parts, min(each, x[axis]-i*each))
		}
	}
	for i, t := range n.Outputs {
		if i < len(parts) && parts[i] > 0 && t != "" {
			shape := slices.Clone(x)
			shape[axis] = parts[i]
			s.shapes[t] = shape
		}
	}
}

// slice is the shape of a part of x, by constants.
func (s *shaper) slice(n *Node, x []int64) []int64 {
	starts, ends := s.ints(n, "starts", 1), s.ints(n, "ends", 2)
	axes, steps := s.ints(n, "axes", 3), s.ints(n, "steps", 4)
	if axes == nil && (len(n.Inputs) < 4 || n.Inputs[3] == "") {
		for i := range starts {
			axes = append(axes, int64(i))
		}
	}
	if starts == nil || len(starts) != len(ends) || len(axes) != len(starts) ||
		steps == nil && len(n.Inputs) > 4 && n.Inputs[4] != "" || steps != nil && len(steps) != len(starts) {
		return nil
	}
	out := slices.Clone(x)
	for i, axis := range axes {
		if axis < 0 {
			axis += int64(len(x))
		}
		if axis < 0 || axis >= int64(len(x)) || steps != nil && steps[i] < 1 {
			return nil
		}
		within := func(v int64) int64 {
			if v < 0 {
				v += x[axis]
			}
			return max(0, min(x[axis], v))
		}
		step := int64(1)
		if steps != nil {
			step = steps[i]
		}
		out[axis] = (within(ends[i]) - within(starts[i]) + step - 1) / step
	}
	return out
}

// gather is the shape where entries of x along an axis are taken.
func (s *shaper) gather(n *Node, x []int64) []int64 {
	axis := integer(n, "axis", 0)
	if axis < 0 {
		axis += int64(len(x))
	}
	if axis < 0 || axis >= int64(len(x)) || len(n.Inputs) < 2 {
		return nil
	}
	at, known := s.shapes[n.Inputs[1]] // of a single number: empty
	if !known {
		return nil
	}
	return append(append(slices.Clone(x[:axis]), at...), x[axis+1:]...)
}

// padded is the shape with pads before and behind each dimension.
func padded(x, pads []int64) []int64 {
	if len(pads) != 2*len(x) {
		return nil
	}
	out := slices.Clone(x)
	for i := range out {
		out[i] += pads[i] + pads[i+len(x)]
	}
	return out
}
