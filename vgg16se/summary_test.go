package vgg16se

import (
	"slices"
	"testing"
)

// The other kinds of attention hold what Layers says, and what they multiply is in Conv and Gemm
// but for the sums over maps.
func TestAttentionsAgreeWithTheGraph(t *testing.T) {
	for _, kind := range Attentions {
		a := small
		a.Attention = kind
		m, err := a.Graph(Seeded(1))
		if err != nil {
			t.Fatal(err)
		}
		parameters := int64(0)
		weights := map[string]int64{}
		shapes := m.Graph.Shapes()
		for _, c := range m.Graph.Costs() {
			if c.Op == "Conv" || c.Op == "Gemm" {
				weights[c.Name] = c.MACs
			}
			if c.Op != "MatMul" && c.Name != "" && c.Op != "Add" {
				parameters += c.Parameters
			}
		}
		if all, _ := a.Parameters(); parameters != all {
			t.Errorf("%s: %d parameters, want %d", kind, parameters, all)
		}
		products := int64(0)
		for _, n := range weights {
			products += n
		}
		want, maps := int64(0), map[Attention]int64{SE: 2, SEBias: 2, SSE: 1, SCSE: 2, BAM: 2, CBAM: 4}[kind]
		for _, l := range a.Layers() {
			if want += l.MACs; l.Gate {
				want -= maps * int64(l.Shape[0]*l.Shape[1]*l.Shape[2])
			}
		}
		if products != want {
			t.Errorf("%s: Conv and Gemm have %d multiply-adds, want %d", kind, products, want)
		}
		if got := shapes[Output]; len(got) != 2 || got[1] != int64(a.Classes) {
			t.Errorf("%s: shape of the answer %v", kind, got)
		}
	}
}

// What the graph costs, worked out from its nodes alone, is what Layers says.
func TestLayersAgreeWithTheGraph(t *testing.T) {
	for _, a := range []Architecture{{}, small, {Attention: None}, {InputSize: 96, Width: 0.25, PoolSize: 3,
		Hidden: 256, Classes: 9}, {InputSize: 256, PoolSize: 4}} {
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
