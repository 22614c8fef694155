package quant_test

import (
	"testing"

	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
)

// Whatever the attention is, the network's own layers are quantized, what works out a gate is not,
// and no map behind a gate is lost.
func TestAttentions(t *testing.T) {
	for kind, products := range map[vgg16se.Attention]int{vgg16se.SE: 5, vgg16se.SSE: 5, vgg16se.SCSE: 5,
		vgg16se.BAM: 5, vgg16se.CBAM: 10, vgg16se.None: 0} {
		a := small
		a.Attention = kind
		_, m, n := fixture(t, a)
		if len(n.Layers) != 16 {
			t.Errorf("%s: %d layers, want 13 convolutions and 3 fully connected", kind, len(n.Layers))
		}
		count := map[quant.Kind]int{}
		for _, s := range n.Sites {
			count[s.Kind]++
		}
		if count[quant.SEGate] != products || count[quant.Product] != products || count[quant.Activation] != 15 {
			t.Errorf("%s: sites %v, want %d products", kind, count, products)
		}
		if shapes := m.Graph.Shapes(); shapes[m.Graph.Outputs[0].Name] == nil {
			t.Errorf("%s: no shape for the answer", kind)
		}
	}
}
