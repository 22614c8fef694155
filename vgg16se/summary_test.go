package vgg16se

import (
	"slices"
	"testing"
)

// What the graph costs, worked out from its nodes alone, is what Layers says.
func TestLayersAgreeWithTheGraph(t *testing.T) {
	for _, a := range []Architecture{{}, small, {NoSE: true}, {InputSize: 96, Width: 0.25, PoolSize: 3, Hidden: 256, Classes: 9}, {InputSize: 256, PoolSize: 4}} {
		m, err := a.Graph(Seeded(1))
		if err != nil {
			t.Fatal(err)
		}
		var parameters, seParameters, macs, seMACs int64
		var shapes [][]int64
		for _, c := range m.Graph.Costs() {
			if c.Op == "MatMul" {
				continue // the average pool as two products: Layers counts no pools
			}
			parameters += c.Parameters
			macs += c.MACs
			if c.SE {
				seParameters += c.Parameters
				seMACs += c.MACs
			}
			if c.Op == "Conv" || c.Op == "MaxPool" {
				shapes = append(shapes, c.Shape[1:])
			}
		}
		if all, se := a.Parameters(); parameters != all || seParameters != se {
			t.Errorf("%v: %d parameters, %d in SE; want %d, %d", a, parameters, seParameters, all, se)
		}
		if all, se := a.MACs(); macs != all || seMACs != se {
			t.Errorf("%v: %d multiply-adds, %d in SE; want %d, %d", a, macs, seMACs, all, se)
		}
		for _, l := range a.Layers() {
			if l.Op != OpConv && l.Op != OpMaxPool {
				continue
			}
			if !slices.EqualFunc(l.Shape, shapes[0], func(x int, y int64) bool { return int64(x) == y }) {
				t.Errorf("%v: %s has shape %v, in the graph %v", a, l.Name, l.Shape, shapes[0])
			}
			shapes = shapes[1:]
		}
	}
}
