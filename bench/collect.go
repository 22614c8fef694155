package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// collectWorkers are how many pictures are in work at the same time, each on one thread.
const collectWorkers = 2

// collectRates are the ratios of pictures per second while collecting to those of the bare network,
// turn by turn, both on the same random pictures in memory and with as many runs at a time.
func collectRates(ctx context.Context, bundleDir, probe string, images, rounds int) ([]float64, error) {
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return nil, err
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	m.Conceal(b.Spec.Output.Name)
	n, err := quant.Analyse(m, b.Spec.Input.Name)
	if err != nil {
		return nil, err
	}
	err = atomicfile.WriteFile(probe, func(w io.Writer) error { return quant.WriteProbe(w, m, n.Tensors()) })
	if err != nil {
		return nil, err
	}
	defer os.Remove(probe)
	one := infer.Config{Threads: 1}
	plain, err := infer.OpenProbe(ctx, one, path, b.Spec.Input.Name,
		infer.ProbeOptions{Outputs: []string{b.Spec.Output.Name}})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	watched, err := infer.OpenProbe(ctx, one, probe, b.Spec.Input.Name, infer.ProbeOptions{Outputs: n.Tensors()})
	if err != nil {
		return nil, err
	}
	defer watched.Close()
	size, ratio := b.Spec.Architecture.InputSize, []float64(nil)
	for i := range rounds + 1 { // the first warms up
		begin := time.Now()
		if err := runPlain(ctx, plain, size, feed(images)); err != nil {
			return nil, err
		}
		bare := time.Since(begin)
		begin = time.Now()
		if err := quant.Collect(ctx, quant.NewCollection(n, "bench"), n, watched, collectWorkers, size,
			feed(images)); err != nil {
			return nil, err
		}
		if i > 0 {
			ratio = append(ratio, float64(bare)/float64(time.Since(begin)))
		}
	}
	return ratio, nil
}

// feed gives the same random picture so many times.
func feed(images int) quant.Next {
	var given atomic.Int64
	return func(_ context.Context, t *vision.Tensor) error {
		if given.Add(1) > int64(images) {
			return io.EOF
		}
		if t.Data[0] == 0 {
			r := rand.New(rand.NewPCG(1, 2))
			for i := range t.Data {
				t.Data[i] = float32(r.NormFloat64())
			}
		}
		return nil
	}
}

func runPlain(ctx context.Context, s *infer.Probe, size int, next quant.Next) error {
	group, ctx := errgroup.WithContext(ctx)
	for range collectWorkers {
		group.Go(func() error {
			t := vision.NewTensor(1, 3, size, size)
			for {
				if err := next(ctx, t); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.Run(ctx, t, func(int, []float32) {}); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}
