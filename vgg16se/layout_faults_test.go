package vgg16se

import (
	"testing"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

func TestTheMatricesOfAGateAreToldApart(t *testing.T) {
	wide, narrow, square := []int64{8, 2}, []int64{2, 8}, []int64{8, 8}
	for _, c := range []struct {
		a, b           string // a sorts before b
		shapeA, shapeB []int64
		first          string // "": not known
	}{
		{"fc.0", "fc.2", narrow, wide, "fc.0"},
		{"conv_expand", "conv_reduce", wide, narrow, "conv_reduce"},
		{"conv_expand", "conv_reduce", square, square, "conv_reduce"},
		{"excite", "squeeze", square, square, "squeeze"},
		{"down", "up", square, square, "down"},
		{"fc1", "fc2", square, square, "fc1"},
		{"se.10", "se.2", square, square, "se.2"},
		{"beta", "gamma", wide, narrow, "gamma"},
		{"beta", "gamma", square, square, ""},
	} {
		a, b := checkpoint.Tensor{Shape: c.shapeA}, checkpoint.Tensor{Shape: c.shapeB}
		names := gateNames(map[string]*checkpoint.Tensor{"features.4." + c.a + ".weight": &a,
			"features.4." + c.b + ".weight": &b})
		want := map[string]*checkpoint.Tensor{c.a: &a, c.b: &b, "": nil}[c.first]
		if got := names["features.4.fc.0.weight"]; got != want {
			t.Errorf("%s and %s, %v and %v: the first matrix is not %q", c.a, c.b, c.shapeA, c.shapeB, c.first)
		}
	}
}

func TestWhatStandsBesideAWrappedNetworkIsLeftOut(t *testing.T) {
	named := func(names ...string) []checkpoint.Tensor {
		var all []checkpoint.Tensor
		for _, n := range names {
			all = append(all, checkpoint.Tensor{Name: n, Shape: []int64{1}})
		}
		for _, n := range []string{"0", "2", "5", "7", "10"} {
			all = append(all, checkpoint.Tensor{Name: "model.features." + n + ".bias", Shape: []int64{1}})
		}
		return all
	}
	for _, beside := range [][]string{nil, {"criterion.weight"}, {"train_acc.correct"}} {
		if got := plainNames(named(beside...)); len(got) != 5 || got["features.10.bias"] == nil {
			t.Errorf("beside %v: got %d names", beside, len(got))
		}
	}
	own := []checkpoint.Tensor{{Name: "loss.weight", Shape: []int64{1}}}
	for _, n := range []string{"0", "2", "5", "7", "10"} {
		own = append(own, checkpoint.Tensor{Name: "parts_net.body.features." + n + ".bias", Shape: []int64{1}})
	}
	if got := plainNames(own); len(got) != 5 || got["features.10.bias"] == nil {
		t.Errorf("a container's own name: got %v", got)
	}
	if got := plainNames(named("features.0.weight")); got["model.features.0.bias"] == nil {
		t.Errorf("a layer without the prefix: got %v, want the names as they are", got)
	}
}
