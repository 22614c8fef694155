package prune

import (
	"slices"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
)

// graphOf is the graph of an architecture with weights that nobody reads.
func graphOf(t *testing.T, a vgg16se.Architecture) *onnx.Graph {
	t.Helper()
	m, err := a.Graph(vgg16se.Seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	return &m.Graph
}

// Each layer but the last makes a group that the next one reads, through pool, gate and flatten.
func TestGroups(t *testing.T) {
	for _, kind := range append([]vgg16se.Attention{vgg16se.None}, vgg16se.Attentions...) {
		a := explicit(vgg16se.Architecture{InputSize: 64, Width: 0.125, Reduction: 4, Hidden: 24, PoolSize: 2,
			Classes: 7, Attention: kind})
		all := groups(a, graphOf(t, a))
		if len(all) != 15 {
			t.Fatalf("%s: %d groups, want 13 convolutions and 2 hidden layers", kind, len(all))
		}
		gates := 0
		for i, g := range all {
			taps, side := 9, g.side
			switch {
			case i == 12: // the flattened map is read by the first hidden layer
				taps, side = a.PoolSize*a.PoolSize, 1
			case i > 12:
				taps, side = 1, 1
			}
			if g.index != i || g.width != g.maker.Shape[0] || g.taps != taps || g.side != side ||
				g.dense() != (i >= 12) || g.in == "" || g.out == "" {
				t.Errorf("%s: group %d: %+v", kind, i, g)
			}
			if i > 0 && all[i-1].reader.Name != g.maker.Name {
				t.Errorf("%s: group %d is made by %s, the one before read by %s", kind, i, g.maker.Name,
					all[i-1].reader.Name)
			}
			if g.gate != nil {
				gates++
				if g.before == "" || g.before == g.in {
					t.Errorf("%s: the gate of group %d reads %q", kind, i, g.before)
				}
			}
		}
		if want := map[bool]int{true: 0, false: 5}[kind == vgg16se.None]; gates != want {
			t.Errorf("%s: %d groups go through a gate, want %d", kind, gates, want)
		}
	}
}

// Rows and columns of channels are kept in their order, with all their taps.
func TestKeptColumns(t *testing.T) {
	v := []float32{ // two outputs of three channels of two taps
		1, 2, 3, 4, 5, 6,
		11, 12, 13, 14, 15, 16,
	}
	for _, tt := range []struct {
		keep []int
		want []float32
	}{
		{[]int{0, 2}, []float32{1, 2, 5, 6, 11, 12, 15, 16}},
		{[]int{1}, []float32{3, 4, 13, 14}},
		{[]int{0, 1, 2}, v},
	} {
		if got := columnsOf(v, 2, 2, 3, tt.keep); !slices.Equal(got, tt.want) {
			t.Errorf("%v: %v, want %v", tt.keep, got, tt.want)
		}
		if got := fold(v, 2, 2, selection(tt.keep, 3)); !slices.Equal(got, tt.want) {
			t.Errorf("%v by a matrix: %v, want %v", tt.keep, got, tt.want)
		}
	}
	if got := rows(v, []int{1}, 2); !slices.Equal(got, v[6:]) {
		t.Errorf("the second row: %v", got)
	}
}

// fold sees weights through a mix of channels, tap by tap.
func TestFold(t *testing.T) {
	v := []float32{1, 10, 2, 20, 3, 30} // one output, three channels, two taps
	mix := selection([]int{0, 1}, 3)
	mix.Set(2, 0, 0.5) // the third channel is half of the first, less the second
	mix.Set(2, 1, -1)
	if got, want := fold(v, 1, 2, mix), []float32{2.5, 25, -1, -10}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The parameters of every gate of every kind are known by their channels.
func TestGateParameters(t *testing.T) {
	for _, kind := range vgg16se.Attentions {
		a := explicit(vgg16se.Architecture{InputSize: 64, Width: 0.25, Reduction: 4, Hidden: 24, PoolSize: 2,
			Classes:   7,
			Attention: kind})
		for _, g := range groups(a, graphOf(t, a)) {
			if g.gate == nil {
				continue
			}
			rows, columns := 0, 0
			for _, p := range g.gate.Params {
				if endsWith(p.Name, gateRows) {
					rows++
					if p.Shape[0] != g.width {
						t.Errorf("%s: %s has %v rows for %d channels", kind, p.Name, p.Shape, g.width)
					}
				}
				if endsWith(p.Name, gateColumns) {
					columns++
					if len(p.Shape) < 2 || p.Shape[1] != g.width {
						t.Errorf("%s: %s has the shape %v for %d channels", kind, p.Name, p.Shape, g.width)
					}
				}
			}
			if columns == 0 {
				t.Errorf("%s: no parameter of %s takes in channels: %v", kind, g.gate.Name, g.gate.Params)
			}
		}
	}
}

// CBAM's map of means, the first plane of two, is over fewer channels; that of maxima stays.
func TestLessened(t *testing.T) {
	v := []float32{2, 4, 6, 8}
	if got := lessened(v, 0.5); !slices.Equal(got, []float32{1, 2, 6, 8}) || v[0] != 2 {
		t.Errorf("%v, and what it was made of %v", got, v)
	}
}
