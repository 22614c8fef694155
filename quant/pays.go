package quant

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vision"
)

// What runs on integers in the CPU's file, and whether that pays.

// rehearsalTries is how often layers are taken out of the plan that the runtime has in float.
const rehearsalTries = 4

// rehearsalShare is the part of --seconds that each file of the rehearsal is measured for.
const rehearsalShare = 0.25

// proveRehearsal sees what of the plan runs on integers, keeps in float what does not or is faster
// there, and says how much of the network that is and how fast. Weights and ranges do not change it.
func (c *calibration) proveRehearsal(ctx context.Context) error {
	defer os.Remove(c.path(rehearsal))
	proof, err := c.proveTrial(ctx)
	if err != nil {
		return c.unmade(ctx, bundle.FileINT8CPU, "int8.cpu.onnx", err)
	}
	if !proof.Fused() || proof.Convolutions+proof.Dense == 0 {
		c.withoutIntegers("8 bits", fmt.Sprintf("ONNX Runtime runs %d of %d convolutions and %d of %d fully connected "+
			"layers on integers", proof.Convolutions, proof.WantConv, proof.Dense, proof.WantDense),
			"only fp16.onnx is made")
		return nil
	}
	if c.Seconds == 0 {
		c.progress.Say("%s", c.extent(&proof))
		return nil
	}
	l, err := c.whatPays(ctx, &proof)
	switch what := c.extent(&proof); {
	case err != nil:
		return err
	case l.Slower():
		c.withoutIntegers("speed", fmt.Sprintf("%s would take %.2f ms, FP32 takes %.2f ms", what, l.Here, l.FP32),
			cureSpeed)
	case l.Faster():
		c.progress.Say("%s; about %.1f times as fast as FP32 is to be expected", what, l.Speedup)
	default:
		c.progress.Say("%s; about as fast as FP32", what)
	}
	return nil
}

// proveTrial writes the file of the rehearsal and lets the runtime show what of it runs on integers.
// The layers that do not are added to those in float.
func (c *calibration) proveTrial(ctx context.Context) (proof Proof, err error) {
	for range rehearsalTries {
		m, err := EmitCPU(c.source.model, c.source.network, c.madeUp(LevelsU8))
		if err == nil {
			err = atomicfile.WriteScratch(c.path(rehearsal), func(w io.Writer) error { return onnx.Write(w, m) })
		}
		if err == nil {
			proof, err = Prove(ctx, c.prober, c.path(rehearsal), c.source.network, c.madeUp(LevelsU8))
		}
		if err != nil {
			return proof, err
		}
		if proof.Fused() || len(proof.float) == 0 {
			break
		}
		c.float = append(c.float, proof.float...)
	}
	return proof, nil
}

// extent says how much of the network runs on integers.
func (c *calibration) extent(proof *Proof) string {
	conv, dense := 0, 0
	for _, v := range c.source.model.Graph.Nodes {
		switch v.OpType {
		case "Conv", "ConvTranspose":
			conv++
		case "Gemm", "MatMul":
			dense++
		}
	}
	return fmt.Sprintf("in 8 bits: %d of %d convolutions, %d of %d fully connected layers", proof.Convolutions, conv,
		proof.Dense, dense)
}

// plainlyFast is the speed-up from which no layer is tried in float.
const plainlyFast = 1.5

// whatPays measures the file of the rehearsal. Where it is not plainly faster than FP32 it tries
// what is faster with the layers of the larger maps in float, which is so where maps are large and
// channels few: there an integer convolution has little to multiply for each number that it rounds.
// The best is kept, in proof, too; what it is worth in the end is measured again.
func (c *calibration) whatPays(ctx context.Context, proof *Proof) (eval.Latency, error) {
	best, err := c.raceTrial(ctx)
	if err != nil || best.SpeedupLow >= plainlyFast {
		return best, err
	}
	whole, float := best.BestSpeedup, c.float
	parts := c.source.network.stages()
	bar := c.progress.Start("looking where integers pay", int64(len(parts)))
	defer bar.Done()
	for _, part := range parts {
		tried := c.float
		c.float = union(float, part)
		p, err := c.proveTrial(ctx)
		if err != nil {
			return best, err
		}
		keep := false
		if p.Fused() && p.Convolutions+p.Dense > 0 {
			l, err := c.raceTrial(ctx)
			if err != nil {
				return best, err
			}
			if keep = l.BestSpeedup > max(best.BestSpeedup, worthFloat*whole); keep {
				best, *proof = l, p
			}
		}
		if !keep {
			c.float = tried
		}
		bar.One()
	}
	return best, nil
}

// worthFloat is how many times as fast a file must be, by the shortest runs, which a busy machine
// disturbs least, to be taken for having more layers in float.
const worthFloat = 1.02

// union is a and what else is in b.
func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, name := range b {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// raceTrial races the file of the rehearsal against FP32.
func (c *calibration) raceTrial(ctx context.Context) (eval.Latency, error) {
	x := vision.NewTensor(1, 3, c.size(), c.size())
	for i := range x.Data {
		x.Data[i] = float32(i%17)/8 - 1
	}
	return c.race(ctx, rehearsal, x, c.Seconds*rehearsalShare)
}

// mostStages is the largest number of sizes of maps that are tried.
const mostStages = 8

// stages are the sets of layers that may be faster in float: the one that reads the picture, and
// all whose maps are of a size or larger, size by size from the largest to the last but one.
func (n *Graph) stages() (parts [][]string) {
	size, sizes := map[string]int64{}, []int64(nil)
	for i := range n.Layers {
		l := &n.Layers[i]
		if l.In == Input && len(parts) == 0 {
			parts = append(parts, []string{l.Name})
		}
		if shape := n.shapes[l.out]; len(shape) == 4 {
			size[l.Name] = shape[2] * shape[3]
			sizes = append(sizes, size[l.Name])
		}
	}
	slices.Sort(sizes)
	sizes = slices.Compact(sizes)
	slices.Reverse(sizes)
	for _, s := range sizes[:min(max(len(sizes)-1, 0), mostStages)] {
		var part []string
		for i := range n.Layers {
			if size[n.Layers[i].Name] >= s {
				part = append(part, n.Layers[i].Name)
			}
		}
		if !slices.ContainsFunc(parts, func(p []string) bool { return slices.Equal(p, part) }) {
			parts = append(parts, part)
		}
	}
	return parts
}
