package infer

import (
	"context"
	"fmt"
	"slices"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// output is a tensor that a network answers with.
type output struct {
	name   string
	shape  []int64   // of one picture
	width  int       // numbers of one picture
	values []float32 // of as many pictures as one run may have
}

// outputsOf are the outputs that are fetched: first the one that the manifest names, then what else
// the file says that it has in float32, with a row for each picture: its signals, and the scores of
// one whose last layer is a head. A file that our own reader does not understand has none of these.
func outputsOf(net *ModelFile, most int) []output {
	all := []output{{name: net.Output, shape: []int64{int64(net.columns())}, width: net.columns()}}
	m, err := onnx.Open(net.Path)
	if err != nil {
		return all // ONNX Runtime says what is wrong with it
	}
	defer m.Close()
	for _, v := range m.Graph.Outputs {
		o := output{name: v.Name, width: 1}
		if v.Name == net.Output || v.Type != onnx.Float32 || len(v.Shape) < 2 ||
			v.Shape[0].Size > 0 && v.Shape[0].Size != int64(most) {
			continue
		}
		for _, d := range v.Shape[1:] {
			if d.Size < 1 || d.Size > vision.MaxFeatures {
				o.width = 0
				break
			}
			o.shape = append(o.shape, d.Size)
			o.width *= int(d.Size)
		}
		if o.width > 0 && o.width <= vision.MaxFeatures && len(all) < mostOutputs {
			all = append(all, o)
		}
	}
	return all
}

// mostOutputs bounds how much is fetched of a file that names many.
const mostOutputs = 2 + 2*onnx.MostBlocks

// signalPlaces are the places of a network's signals among the outputs of its session; -1: not there.
type signalPlaces struct {
	sizes          vision.SignalSizes
	features       int
	squeeze, gates []int // of each attention block
}

// signalsOf finds them.
func signalsOf(outputs []output) signalPlaces {
	place := func(name string) int {
		return slices.IndexFunc(outputs, func(o output) bool { return o.name == name })
	}
	s := signalPlaces{features: place(onnx.FeaturesOutput)}
	if s.features >= 0 {
		s.sizes.Features = outputs[s.features].width
	}
	for block := 1; ; block++ {
		z, g := place(onnx.SqueezeOutput(block)), place(onnx.GateOutput(block))
		if z < 0 || g < 0 || outputs[z].width != outputs[g].width {
			return s
		}
		s.squeeze, s.gates = append(s.squeeze, z), append(s.gates, g)
		s.sizes.Channels = append(s.sizes.Channels, outputs[z].width)
	}
}

// SignalSizes are the lengths of the signals that the network gives with its answers. They do not
// change after Open.
func (e *Engine) SignalSizes() vision.SignalSizes { return e.signals.sizes }

// RunSignals is Run, and fills signals[i], made by SignalSizes.New, with those of the picture i. An
// entry that is nil, or behind the end of signals, is left out. Nothing is allocated.
func (e *Engine) RunSignals(ctx context.Context, t *vision.Tensor, out vision.Logits, signals []*vision.Signals) error {
	if err := e.fits(t, out); err != nil {
		return err
	}
	return e.run(ctx, t, func() {
		e.answer(out)
		for i, s := range signals[:min(len(signals), int(t.Shape[0]))] {
			if s != nil {
				e.fetch(i, s)
			}
		}
	})
}

// fetch copies the signals of the picture i of the last run.
func (e *Engine) fetch(i int, s *vision.Signals) {
	row := func(place int, to []float32) {
		o := &e.session.outputs[place]
		copy(to, o.values[i*o.width:][:o.width])
	}
	if e.signals.features >= 0 {
		row(e.signals.features, s.Features)
	}
	for b := range e.signals.gates {
		row(e.signals.squeeze[b], s.Squeeze[b])
		row(e.signals.gates[b], s.Gates[b])
	}
}

// fits checks the room for the logits of the pictures of t.
func (e *Engine) fits(t *vision.Tensor, out vision.Logits) error {
	if n := t.Shape[0]; int64(len(out)) != n*int64(e.net.Classes) {
		return fmt.Errorf("infer: run: %d logits for %d pictures of %d classes", len(out), n, e.net.Classes)
	}
	return nil
}

// answer writes the logits of the last run; e.mu is held.
func (e *Engine) answer(out vision.Logits) {
	if e.net.Head == nil {
		copy(out, e.row())
		return
	}
	e.net.Head.Apply(e.row(), out)
}

// row is what the file answered with in the last run; e.mu is held.
func (e *Engine) row() []float32 { return e.session.outputs[e.answers].values }

// NoChannels says in one sentence why the network gives no squeeze and gate signals; empty where it
// gives some.
func (e *Engine) NoChannels() string {
	switch {
	case len(e.signals.gates) > 0:
		return ""
	case e.signals.features < 0:
		return "this model file was made without signals: import, calibrate or teach the bundle again, and its " +
			"channels can be seen"
	}
	return "this network gives no gates: it has no SE blocks, or its file is one for TensorRT, which has none as " +
		"long as it is not measured that they cost nothing there"
}
