package infer

import (
	"context"
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vggse/vggse-agent/model"
)

// ProbeOptions say what a Probe hands out and leaves behind.
type ProbeOptions struct {
	Outputs   []string // graph outputs to hand out, all float32
	Optimized string   // where ONNX Runtime writes the graph that it really runs; "": nowhere
	Plain     bool     // no rewriting of the graph: every operator runs as the file has it
	Exact     bool     // on x86 without VNNI: 8-bit products that cannot saturate, at some speed (session.x64quantprecision)
}

// Probe is a network on the CPU provider with any of its tensors as outputs: what calibration looks
// through. Run may be called from several goroutines at once; each call is one run of the one session.
type Probe struct {
	session *ort.DynamicAdvancedSession
	outputs int
}

// OpenProbe loads the model file at path, which reads its pictures from the tensor input, for the CPU
// provider with c.Threads threads. The caller closes it.
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
		if err := so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
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

// Run feeds the pictures of t and hands each output, by its place in ProbeOptions.Outputs, to visit. The
// values lie in ONNX Runtime's memory and are valid only during that call.
func (p *Probe) Run(ctx context.Context, t *model.Tensor, visit func(output int, v []float32)) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	in, err := ort.NewTensor(ort.NewShape(t.Shape[:]...), t.Data)
	if err != nil {
		return fmt.Errorf("infer: probe: %w", err)
	}
	defer func() { err = errors.Join(err, in.Destroy()) }()
	out := make([]ort.Value, p.outputs)
	if err := p.session.Run([]ort.Value{in}, out); err != nil {
		return fmt.Errorf("infer: probe: %w", oneLine(err))
	}
	for i, v := range out {
		values, ok := v.(*ort.Tensor[float32])
		if ok {
			visit(i, values.GetData())
		} else {
			err = errors.Join(err, fmt.Errorf("infer: probe: output %d is not float32", i))
		}
		err = errors.Join(err, v.Destroy())
	}
	return err
}

// Close frees the network once no run is in progress. It may be called twice.
func (p *Probe) Close() error {
	if p.session == nil {
		return nil
	}
	err := errors.Join(p.session.Destroy(), release())
	p.session = nil
	if err != nil {
		return fmt.Errorf("infer: probe: close: %w", err)
	}
	return nil
}
