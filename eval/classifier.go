package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// ImageAnswer is what a network says of one picture, or frame of a source: a line of classify
// --json.
type ImageAnswer struct {
	File      string        `json:"file"`            // of a stream its URI, without credentials
	Frame     uint64        `json:"frame,omitempty"` // of a source, from 1
	Time      *time.Time    `json:"time,omitempty"`  // of capture, of a live source
	Top       []Scored      `json:"top"`
	Logits    vision.Logits `json:"logits,omitempty"`
	Precision string        `json:"precision"`
	Provider  string        `json:"provider"`
	LatencyMS float64       `json:"latency_ms"` // of the network alone
	// PValue is as in vision.Decision, of a network that knows what its classes look like; Unknown
	// is whether it is below Classifier.UnknownBelow.
	PValue  float32 `json:"p_value,omitempty"`
	Unknown *bool   `json:"unknown,omitempty"`
}

// Scored is a class with its probability.
type Scored struct {
	Label string  `json:"label"`
	Index int     `json:"index"`
	Score float32 `json:"score"`
}

// Classifier lets a network answer for picture files one after another, in buffers of its own.
type Classifier struct {
	UnknownBelow float64 // p-value below which a picture shows none of the classes; 0: off

	network *infer.Network
	prep    *vision.Preprocessor
	frame   vision.Frame
	tensor  *vision.Tensor
	logits  vision.Logits
	scores  []float32
	signals []*vision.Signals // nil: they are not needed
	room    []float32         // for the network's vision.Known
	top     int
}

// NewClassifier makes one whose answers name the top best classes, at least one. The network stays
// the caller's.
func NewClassifier(n *infer.Network, top int) (*Classifier, error) {
	spec := &n.Bundle.Spec
	size := spec.Architecture.InputSize
	prep, err := vision.NewPreprocessor(spec.Preprocess, size)
	if err != nil {
		return nil, err
	}
	c := &Classifier{
		network: n, prep: prep, top: max(1, top),
		tensor: vision.NewTensor(1, 3, size, size), logits: make(vision.Logits, len(spec.Labels)),
		scores: make([]float32, len(spec.Labels)),
	}
	if k := n.Known(); k != nil {
		c.signals, c.room = []*vision.Signals{n.SignalSizes().New()}, make([]float32, k.Dims())
	}
	return c, nil
}

// Classify answers for one file; the answer's Logits are valid until the next call.
func (c *Classifier) Classify(ctx context.Context, file string) (*ImageAnswer, error) {
	if err := camera.ReadPicture(file, &c.frame, c.network.Bundle.Spec.Preprocess.Upright()); err != nil {
		return nil, err
	}
	return c.ask(ctx, &c.frame, file)
}

// Frames answers for the frames of an open source, each every-th, at most so many (0: all), and
// hands them to visit; an answer's Logits are valid during that call. Its File is name. It ends
// without an error with the source, unless that is a film that is cut off, or, where the source is live, with ctx.
func (c *Classifier) Frames(ctx context.Context, s camera.Reader, name string, every, most int,
	visit func(*ImageAnswer) error) error {
	info, f := s.Info(), vision.Frame{}
	for read, done := 0, 0; most == 0 || done < most; read++ {
		err := s.Read(ctx, &f)
		switch {
		case errors.Is(err, camera.ErrCutOff):
			return err
		case errors.Is(err, io.EOF) || info.Live && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%s: after %s: %w", name, round.Count(read, "frame", "frames"), err)
		case read%max(every, 1) != 0:
			continue
		}
		a, err := c.ask(ctx, &f, name)
		if err != nil {
			return err
		}
		if a.Frame = f.Seq; info.Live {
			at := f.Time
			a.Time = &at
		}
		if err := visit(a); err != nil {
			return err
		}
		done++
	}
	return nil
}

// ask lets the network answer for one picture, which file names.
func (c *Classifier) ask(ctx context.Context, f *vision.Frame, file string) (*ImageAnswer, error) {
	if err := c.prep.Apply(f, c.tensor, 0); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	start := time.Now()
	if err := c.network.RunSignals(ctx, c.tensor, c.logits, c.signals); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	took := time.Since(start)
	if !c.network.Bundle.Spec.Output.Scores.Apply(c.scores, c.logits) {
		return nil, fmt.Errorf("%s: the network answers with NaN or infinity: its weights are damaged", file)
	}
	info := c.network.Info()
	a := &ImageAnswer{
		File: file, Logits: c.logits, Precision: info.Precision, Provider: info.Provider,
		LatencyMS: float64(took.Microseconds()) / 1000,
	}
	if k := c.network.Known(); k != nil {
		a.PValue = k.PValue(k.Score(c.signals[0].Features, c.room))
		unknown := float64(a.PValue) < c.UnknownBelow
		a.Unknown = &unknown
	}
	for _, i := range vision.TopK(nil, c.scores, c.top) {
		a.Top = append(a.Top, Scored{Label: c.network.Bundle.Spec.Labels[i], Index: i, Score: c.scores[i]})
	}
	return a, nil
}
