package onnx

// freeBatch takes the batch that a file was exported for out of its Reshapes: where the first
// dimension of what comes and of what goes is that batch, it is copied from now on. With repeat it
// stays as it is.
func (m *Model) freeBatch(batch int, repeat bool) {
	if batch == 0 || repeat {
		return
	}
	g := &m.Graph
	s := shaper{graph: g}
	shapes := s.run()
	b := builder{m: m, used: g.names()}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.OpType != "Reshape" || integer(n, "allowzero", 0) != 0 || len(n.Inputs) == 0 {
			continue
		}
		from, to := shapes[n.Inputs[0]], s.ints(n, "shape", 1)
		if len(from) == 0 || len(to) < 2 || from[0] != int64(batch) || to[0] != int64(batch) {
			continue
		}
		free := append([]int64{0}, to[1:]...)
		if a := n.Attribute("shape"); a != nil {
			a.Ints = free
			continue
		}
		n.Inputs = []string{n.Inputs[0], b.constant(NewInt64("shape", free, int64(len(free))))}
	}
}
