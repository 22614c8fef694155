package quant

import (
	"reflect"
	"testing"

	"github.com/vggse/vggse-agent/onnx"
)

// TestStages: the layer of the picture, then everything down to each size of map but the smallest.
func TestStages(t *testing.T) {
	b := build(17)
	b.conv("c1", 3, 16, 1)
	b.op("MaxPool", "half", nil, onnx.Ints("kernel_shape", 2, 2), onnx.Ints("strides", 2, 2))
	b.conv("c2", 16, 16, 1)
	b.conv("c3", 16, 16, 1)
	b.op("MaxPool", "quarter", nil, onnx.Ints("kernel_shape", 2, 2), onnx.Ints("strides", 2, 2))
	b.conv("c4", 16, 16, 1)
	n, err := Analyse(b.end(16), "x")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := n.stages(), [][]string{{"c1"}, {"c1", "c2", "c3"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := union([]string{"a"}, []string{"b", "a"}), []string{"a", "b"}; !reflect.DeepEqual(got, want) {
		t.Errorf("union: %v, want %v", got, want)
	}
}
