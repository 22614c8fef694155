package prune

import (
	"context"
	"io"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// Pictures are what the network sees in operation.
type Pictures interface {
	Len() int
	// Load writes picture i, preprocessed, into t, 1×3×S×S. Several workers call it, each with a
	// tensor of its own.
	Load(i int, t *vision.Tensor) error
}

// Bench is where networks run: a runtime, a folder for their files, and the pictures.
type Bench struct {
	Runtime  infer.Prober
	Dir      string
	Pictures Pictures
	Workers  int
	Progress func(step string, done, of int) // may be nil
}

// shards are what pictures are dealt to, so that sums do not depend on the number of workers; the
// last one judges.
const shards = 8

// look is one network and the tensors to see of it.
type look struct {
	model   *onnx.Model
	tensors []string
	from    *stage // nil: the pictures
}

// stage is what a tensor of a network, 1 × channels × side × side, holds for the pictures: what
// comes after it need not start from them.
type stage struct {
	tensor string
	shape  [4]int64
	values [][]float32
}

// each runs the networks over the first n pictures; visit gets what the tensors of all looks hold.
// A shard's pictures come one after the other, in order.
func (b *Bench) each(ctx context.Context, n int, looks []look,
	visit func(shard, picture int, out [][]float32) error) error {
	var sessions []*infer.Probe
	defer func() {
		for _, s := range sessions {
			s.Close() // only read from
		}
	}()
	size, outputs := 0, 0
	for i, l := range looks {
		path := filepath.Join(b.Dir, "prune."+string(rune('a'+i))+".onnx")
		from := ""
		if l.from != nil {
			from = l.from.tensor
		}
		err := writeNow(path, until(l.model, from, l.tensors...))
		if err != nil {
			return err
		}
		s, err := b.Runtime.Open(ctx, path, infer.ProbeOptions{Outputs: l.tensors})
		if err != nil {
			return err
		}
		sessions = append(sessions, s)
		size, outputs = int(l.model.Graph.Inputs[0].Shape[2].Size), outputs+len(l.tensors)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, b.Workers))
	for shard := range shards {
		group.Go(func() error {
			t, out := vision.NewTensor(1, 3, size, size), make([][]float32, outputs)
			for i := shard; i < n; i += shards {
				loaded, at := false, 0
				for k, s := range sessions {
					x := t
					if from := looks[k].from; from != nil {
						x = &vision.Tensor{Shape: from.shape, Data: from.values[i]}
					} else if !loaded {
						if err := b.Pictures.Load(i, t); err != nil {
							return err
						}
						loaded = true
					}
					err := s.Run(ctx, x, func(o int, v []float32) { out[at+o] = append(out[at+o][:0], v...) })
					if err != nil {
						return err
					}
					at += len(looks[k].tensors)
				}
				if err := visit(shard, i, out); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// writeNow leaves a file that nobody needs after the next one.
func writeNow(path string, m *onnx.Model) error {
	return atomicfile.WriteScratch(path, func(w io.Writer) error { return onnx.Write(w, m) })
}

func (b *Bench) progress(step string, done, of int) {
	if b.Progress != nil {
		b.Progress(step, done, of)
	}
}
