package pipeline

import (
	"context"
	"errors"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// binding is what the streams need to be classified by one network: all that changes with a model.
type binding struct {
	network Classifier
	size    int               // of the network's input, pixels
	labels  int               // how many
	names   []string          // of them
	input   *vision.Tensor    // room for a whole batch; nil where that is one picture
	out     vision.Logits     // of a whole batch; both belong to the inference's goroutine
	signals []*vision.Signals // by picture of a batch; empty: the network gives none
	streams []streamBinding   // by stream.index
	known   *vision.Known     // nil: no picture has a p-value
	room    []float32         // for known
	// for what it knows of channels
	levels, levelRoom []float32
}

// streamBinding is what one stream needs for it.
type streamBinding struct {
	prep    *vision.Preprocessor // for the capture
	late    *vision.Preprocessor // for the inference, where a frame was prepared for the network before
	decider *vision.Decider
	// thresholds are those that the decider has of the stream; the inference's
	thresholds *[]vision.ClassThreshold
}

func (p *Pipeline) newBinding(network Classifier, spec *bundle.Spec) (*binding, error) {
	v := &binding{network: network, size: spec.Architecture.InputSize, labels: len(spec.Labels),
		names: spec.Labels}
	most := p.mostPictures()
	v.out = make(vision.Logits, most*v.labels)
	if s, ok := network.(Signaller); ok && s.SignalSizes().New() != nil {
		for range most {
			v.signals = append(v.signals, s.SignalSizes().New())
		}
		if k := s.Known(); k != nil && k.Width() == s.SignalSizes().Features {
			v.known, v.room = k, make([]float32, k.Dims())
			if c := k.Channels; c != nil {
				v.levels, v.levelRoom = make([]float32, c.Width()), make([]float32, c.Dims())
			}
		}
	}
	if most > 1 {
		v.input = vision.NewTensor(most, 3, v.size, v.size)
	}
	for _, l := range p.streams {
		var s streamBinding
		var err error
		if s.prep, err = vision.NewPreprocessor(spec.Preprocess, v.size); err != nil {
			return nil, err
		}
		if s.late, err = vision.NewPreprocessor(spec.Preprocess, v.size); err != nil {
			return nil, err
		}
		if s.decider, err = vision.NewDecider(l.capture.Decide, spec.Labels,
			spec.Output.Scores); err != nil {
			return nil, err
		}
		v.streams = append(v.streams, s)
	}
	return v, nil
}

// prepare makes the tensor of the slot's frame.
func (v *binding) prepare(prep *vision.Preprocessor, s *slot) error {
	if s.tensor.Shape[2] != int64(v.size) {
		s.tensor = vision.NewTensor(1, 3, v.size, v.size)
	}
	s.binding = v
	return prep.Apply(&s.frame, s.tensor, 0)
}

// run runs the network on the pictures of t.
func (v *binding) run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	if v.signals == nil {
		return v.network.Run(ctx, t, out)
	}
	return v.network.(Signaller).RunSignals(ctx, t, out, v.signals)
}

// signalsOf are those of the picture i of the last run; nil: there are none.
func (v *binding) signalsOf(i int) *vision.Signals {
	if v.signals == nil {
		return nil
	}
	return v.signals[i]
}

// pValue is that of the picture with such signals; 0: there is no reference.
func (v *binding) pValue(s *vision.Signals) float32 {
	if v.known == nil {
		return 0
	}
	return v.known.PValue(v.known.Score(s.Features, v.room))
}

// change is the wish for another network.
type change struct {
	next    *binding
	between func() // called after the last decision of the network before, and before the first of this one
	done    chan struct{}
}

// Change makes another network answer, from one frame to the next: cameras stay open, and the
// frames that wait are prepared anew. The labels that hold are forgotten. When it has returned nil,
// the network before is used no more. between is called at the moment of the change and must not
// wait. Call it while Run runs, with a ctx that ends when Run does.
func (p *Pipeline) SwapNetwork(ctx context.Context, network Classifier, spec *bundle.Spec, between func()) error {
	if !p.prepared.Load() {
		return errors.New("the cameras are not there yet, try again")
	}
	next, err := p.newBinding(network, spec)
	if err != nil {
		return err
	}
	c := change{next, between, make(chan struct{})}
	select {
	case p.changes <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	<-c.done // whoever takes it makes it at once
	return nil
}

// exchange makes a change.
func (p *Pipeline) exchange(c change) *binding {
	p.binding.Store(c.next)
	c.between()
	close(c.done)
	return c.next
}
