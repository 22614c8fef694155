package infer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vggse/vggse-agent/vision"
)

// ProbeOptions say what a Probe hands out and leaves behind.
type ProbeOptions struct {
	Outputs   []string // graph outputs to hand out, all float32
	Optimized string   // where ONNX Runtime writes the graph that it really runs; "": nowhere
	// no rewriting of the graph: every operator runs as the file has it, in no more memory than
	// that takes
	Plain bool
	// Q and DQ stay operators of their own, and what stands between them stays in float: as a GPU has
	// it, not as the CPU provider would. All else is made fast, and the answers are Plain's but for the
	// order of sums
	Separate bool
	// on x86 without VNNI: 8-bit products that cannot saturate, at some speed
	// (session.x64quantprecision)
	Exact bool
}

// Probe is a network on the CPU provider with any of its tensors as outputs: what calibration looks
// through. Run may be called from several goroutines at once; each call is one run of the one
// session.
type Probe struct {
	session *ort.DynamicAdvancedSession
	outputs int

	mu    sync.Mutex
	spare []probed // as many as there were runs at a time
}

// probed is where ONNX Runtime writes the outputs for pictures of a shape: tensors of its own would
// be copied for Go, run by run.
type probed struct {
	shape [4]int64
	out   []ort.Value
}

// Prober opens the networks of one procedure: on the CPU provider, with pictures read from the
// tensor Input.
type Prober struct {
	Config Config // Threads of each run
	Input  string
	Exact  bool // ProbeOptions.Exact in all
}

// Open is OpenProbe. The caller closes the network.
func (p Prober) Open(ctx context.Context, path string, o ProbeOptions) (*Probe, error) {
	o.Exact = o.Exact || p.Exact
	return OpenProbe(ctx, p.Config, path, p.Input, o)
}

// OpenProbe loads the model file at path, which reads its pictures from the tensor input, for the
// CPU provider with c.Threads threads. The caller closes it.
func OpenProbe(ctx context.Context, c Config, path, input string, o ProbeOptions) (*Probe, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := acquire(&c); err != nil {
		return nil, fmt.Errorf("infer: probe: %w", err)
	}
	s, err := o.open(&c, path, input)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("infer: probe %s: %w", path, oneLine(err)), release())
	}
	return &Probe{session: s, outputs: len(o.Outputs)}, nil
}

func (o *ProbeOptions) open(c *Config, path, input string) (*ort.DynamicAdvancedSession, error) {
	so, err := sessionOptions(CPU, c, nil)
	if err != nil {
		return nil, err
	}
	defer so.Destroy()
	if o.Optimized != "" {
		if err := so.SetOptimizedModelFilePath(o.Optimized); err != nil {
			return nil, err
		}
	}
	if o.Plain {
		// Weights are dequantized in every run; ONNX Runtime's arena would take powers of two for
		// them.
		if err := errors.Join(so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll),
			so.SetCpuMemArena(false), so.SetMemPattern(false)); err != nil {
			return nil, err
		}
	}
	if o.Separate {
		if err := so.AddSessionConfigEntry("session.disable_quant_qdq", "1"); err != nil {
			return nil, err
		}
	}
	if o.Exact {
		if err := so.AddSessionConfigEntry("session.x64quantprecision", "1"); err != nil {
			return nil, err
		}
	}
	return ort.NewDynamicAdvancedSession(path, []string{input}, o.Outputs, so)
}

// Run feeds the pictures of t and hands each output, by its place in ProbeOptions.Outputs, to
// visit. The values are valid only during that call.
func (p *Probe) Run(ctx context.Context, t *vision.Tensor, visit func(output int, v []float32)) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, err := ort.NewTensor(ort.NewShape(t.Shape[:]...), t.Data)
	if err != nil {
		return fmt.Errorf("infer: probe: %w", err)
	}
	defer func() { err = errors.Join(err, in.Destroy()) }()
	to := p.take(t.Shape)
	if err := p.session.Run([]ort.Value{in}, to.out); err != nil {
		return errors.Join(fmt.Errorf("infer: probe: %w", oneLine(err)), to.destroy())
	}
	for i, v := range to.out {
		values, ok := v.(*ort.Tensor[float32])
		if !ok {
			return errors.Join(fmt.Errorf("infer: probe: output %d is not float32", i), to.destroy())
		}
		visit(i, values.GetData())
	}
	p.mu.Lock()
	p.spare = append(p.spare, to)
	p.mu.Unlock()
	return nil
}

// take is room for the outputs of pictures of a shape. The first run of a shape has none: ONNX
// Runtime then says how large they are.
func (p *Probe) take(shape [4]int64) probed {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range p.spare {
		if s.shape == shape {
			p.spare = slices.Delete(p.spare, i, i+1)
			return s
		}
	}
	return probed{shape, make([]ort.Value, p.outputs)}
}

func (p *probed) destroy() (err error) {
	for _, v := range p.out {
		if v != nil {
			err = errors.Join(err, v.Destroy())
		}
	}
	return err
}

// Close frees the network once no run is in progress. It may be called twice.
func (p *Probe) Close() error {
	if p.session == nil {
		return nil
	}
	var err error
	for _, s := range p.spare {
		err = errors.Join(err, s.destroy())
	}
	err = errors.Join(err, p.session.Destroy(), release())
	p.session, p.spare = nil, nil
	trim()
	if err != nil {
		return fmt.Errorf("infer: probe: close: %w", err)
	}
	return nil
}
