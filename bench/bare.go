package main

import (
	"errors"
	"time"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/vggse/vggse-agent/bundle"
)

// bare is a session as the binding gives it, with ONNX Runtime's own settings but for the number of
// threads: what everything else is compared with. ONNX Runtime must have been loaded.
type bare struct {
	session *ort.AdvancedSession
	in, out *ort.Tensor[float32]
}

func openBare(path string, spec *bundle.Spec, threads int) (*bare, error) {
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	side := int64(spec.Architecture.InputSize)
	b := &bare{}
	b.in, err = ort.NewEmptyTensor[float32](ort.NewShape(1, 3, side, side))
	if err != nil {
		return nil, err
	}
	for i, data := 0, b.in.GetData(); i < len(data); i++ {
		data[i] = float32(i%255)/127 - 1
	}
	b.out, err = ort.NewEmptyTensor[float32](ort.NewShape(1, int64(len(spec.Labels))))
	if err != nil {
		return nil, err
	}
	if err := options.SetIntraOpNumThreads(threads); err != nil {
		return nil, err
	}
	b.session, err = ort.NewAdvancedSession(path, []string{spec.Input.Name}, []string{spec.Output.Name},
		[]ort.Value{b.in}, []ort.Value{b.out}, options)
	return b, err
}

// loop runs for the given time and returns how long each run took, in milliseconds.
func (b *bare) loop(length time.Duration) (took []float64, err error) {
	for start := time.Now(); time.Since(start) < length; {
		begin := time.Now()
		if err := b.session.Run(); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begin))/1e6)
	}
	return took, nil
}

func (b *bare) close() error {
	return errors.Join(b.session.Destroy(), b.in.Destroy(), b.out.Destroy())
}
