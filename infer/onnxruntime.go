package infer

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	ort "github.com/yalue/onnxruntime_go"
)

// environment is ONNX Runtime in this process: the binding has one, global and unsynchronised.
var environment struct {
	sync.Mutex
	users   int
	library *library // open while there are users
}

// acquire loads the library for its first user. A second user gets the same one, or an error where
// the configuration names another. Every acquire without error is undone by one release.
func acquire(c *Config) (*library, error) {
	e := &environment
	e.Lock()
	defer e.Unlock()
	if e.users > 0 && c.explicit() && c.Library != e.library.path {
		return nil, fmt.Errorf("infer.library: %s is loaded already, one process cannot use %s too", e.library.path,
			c.Library)
	}
	if e.users == 0 {
		l, err := find(c)
		if err != nil {
			return nil, err
		}
		ort.SetSharedLibraryPath(l.entry)
		// what goes wrong comes back as an error
		if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
			l.close()
			return nil, noLibrary(fmt.Errorf("%s (ONNX Runtime %s) does not start: %w", l.path, l.version,
				oneLine(err)))
		}
		e.library = l
	}
	e.users++
	return e.library, nil
}

// release undoes one acquire; the last one unloads the library.
func release() error {
	e := &environment
	e.Lock()
	defer e.Unlock()
	if e.users--; e.users > 0 {
		return nil
	}
	err := ort.DestroyEnvironment()
	e.library.close()
	e.library = nil
	return err
}

// session is one network on one provider with the memory of its input and outputs. Not for
// concurrent use, but for terminate.
type session struct {
	input   []float32 // n pictures from the front
	outputs []output  // first the one that the manifest names
	pins    runtime.Pinner
	tensors []*ort.Tensor[float32]

	// With a largest batch of 1 the tensors are fixed and a run can be terminated. Else every batch
	// size has its binding, which the binding's authors run without options: it ends by itself.
	fixed    *ort.AdvancedSession
	options  *ort.RunOptions
	dynamic  *ort.DynamicAdvancedSession
	bindings []*ort.IoBinding // of n pictures at n-1
}

// newSession loads the network for batches of up to most pictures, with the outputs of outputsOf or
// the first of them.
func newSession(options *ort.SessionOptions, net *ModelFile, most int, outputs []output) (*session, error) {
	s := &session{input: make([]float32, most*3*net.Size*net.Size), outputs: outputs}
	s.pins.Pin(&s.input[0]) // C keeps these addresses from run to run
	for i := range s.outputs {
		o := &s.outputs[i]
		o.values = make([]float32, most*o.width)
		s.pins.Pin(&o.values[0])
	}
	load := s.fix
	if most > 1 {
		load = s.bind
	}
	if err := ownSignalStack(func() error { return load(options, net, most) }); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// warm loads the network and runs it once.
func (e *Engine) warm(options *ort.SessionOptions, outputs []output) (*session, error) {
	begin := time.Now()
	s, err := newSession(options, &e.net, e.info.MaxBatch, outputs)
	if err != nil {
		return nil, explain(err, &e.net, e.info.MaxBatch)
	}
	e.info.Load = time.Since(begin)
	begin = time.Now()
	if err := s.run(e.info.MaxBatch); err != nil {
		return nil, errors.Join(explain(err, &e.net, e.info.MaxBatch), s.close())
	}
	e.info.WarmUp = time.Since(begin)
	return s, nil
}

// fix opens the session for one picture.
func (s *session) fix(so *ort.SessionOptions, net *ModelFile, _ int) error {
	in, outs, err := s.tensorsFor(net, 1)
	if err != nil {
		return err
	}
	if s.options, err = ort.NewRunOptions(); err != nil {
		return err
	}
	s.fixed, err = ort.NewAdvancedSession(net.Path, []string{net.Input}, s.names(), []ort.Value{in}, outs, so)
	return err
}

// bind opens the session for batches of 1 to most pictures.
func (s *session) bind(so *ort.SessionOptions, net *ModelFile, most int) (err error) {
	s.dynamic, err = ort.NewDynamicAdvancedSession(net.Path, []string{net.Input}, s.names(), so)
	if err != nil {
		return err
	}
	for n := 1; n <= most; n++ {
		in, outs, err := s.tensorsFor(net, n)
		if err != nil {
			return err
		}
		b, err := s.dynamic.CreateIoBinding()
		if err != nil {
			return err
		}
		s.bindings = append(s.bindings, b)
		if err := b.BindInput(net.Input, in); err != nil {
			return err
		}
		for i, out := range outs {
			if err := b.BindOutput(s.outputs[i].name, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// names are those of the outputs, in order.
func (s *session) names() []string {
	names := make([]string, len(s.outputs))
	for i := range names {
		names[i] = s.outputs[i].name
	}
	return names
}

// tensorsFor makes the tensors of n pictures, over the front of input and of each output.
func (s *session) tensorsFor(net *ModelFile, n int) (in ort.Value, outs []ort.Value, err error) {
	side := int64(net.Size)
	tensor := func(over []float32, shape ...int64) (*ort.Tensor[float32], error) {
		t, err := ort.NewTensor(ort.NewShape(shape...), over)
		if err == nil {
			s.tensors = append(s.tensors, t)
		}
		return t, err
	}
	if in, err = tensor(s.input, int64(n), 3, side, side); err != nil {
		return nil, nil, err
	}
	for i := range s.outputs {
		out, err := tensor(s.outputs[i].values, append([]int64{int64(n)}, s.outputs[i].shape...)...)
		if err != nil {
			return nil, nil, err
		}
		outs = append(outs, out)
	}
	return in, outs, nil
}

// run classifies the first n pictures of input into output.
func (s *session) run(n int) error {
	if s.fixed != nil {
		return s.fixed.RunWithOptions(s.options)
	}
	return s.dynamic.RunWithBinding(s.bindings[n-1])
}

// terminate makes the run in progress, and all later ones until resume, end with an error as soon
// as the node it is at is done. It may be called while run runs.
func (s *session) terminate() {
	if s.options != nil {
		s.options.Terminate()
	}
}

func (s *session) resume() {
	if s.options != nil {
		s.options.UnsetTerminate()
	}
}

func (s *session) close() error {
	var errs []error
	if s.fixed != nil {
		errs = append(errs, s.fixed.Destroy())
	}
	for _, b := range s.bindings {
		errs = append(errs, b.Destroy())
	}
	if s.dynamic != nil {
		errs = append(errs, s.dynamic.Destroy())
	}
	if s.options != nil {
		errs = append(errs, s.options.Destroy())
	}
	for _, t := range s.tensors {
		errs = append(errs, t.Destroy())
	}
	s.pins.Unpin()
	return errors.Join(errs...)
}

// settingsFor are the options of a provider that has some: for the ONNX Runtime at library, with
// its engine in the folder of that name ("": none is kept).
func settingsFor(provider, library string, net *ModelFile, batch, threads int, engine string) map[string]string {
	switch provider {
	case TensorRT:
		return tensorRTOptions(lookAtGPU(library), net, batch, engine)
	case OpenVINO:
		return openVINOOptions(net, batch, threads)
	}
	return nil
}

// sessionOptions are the settings of a session on a provider, whose own are given; the error is the
// provider's refusal.
func sessionOptions(provider string, c *Config, own map[string]string) (_ *ort.SessionOptions, err error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			so.Destroy()
		}
	}()
	// Threads that wait sleep: spinning, which is the default, takes the cores that capture and
	// preprocessing need, and power while the camera has nothing new (bench/results has both).
	err = errors.Join(so.SetIntraOpNumThreads(threads(c)), so.SetInterOpNumThreads(1),
		so.AddSessionConfigEntry("session.intra_op.allow_spinning", "0"))
	if err != nil {
		return nil, err
	}
	switch provider {
	case TensorRT:
		err = appendTensorRT(so, own)
	case CUDA:
		err = appendCUDA(so)
	case OpenVINO:
		err = appendOpenVINO(so, own)
	}
	if _, strict := c.order(); err == nil && provider != CPU && strict {
		// No node may land on the CPU: creation fails instead. Where that is allowed, Placement
		// names them.
		err = so.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1")
	}
	return so, err
}

// threads is how many the CPU provider gets; by default what the process may use, by affinity and
// cgroup.
func threads(c *Config) int {
	if c.Threads > 0 {
		return c.Threads
	}
	return runtime.GOMAXPROCS(0)
}

// port is what a model file says of one input or output.
type port struct {
	name string
	dims []int64 // -1 where symbolic
	f32  bool
}

// ports reads the inputs and outputs of a model file. It loads the whole file once more, so it is
// for explaining what went wrong.
func ports(path string) (inputs, outputs []port, err error) {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return nil, nil, err
	}
	defer so.Destroy()
	if err := so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelDisableAll); err != nil {
		return nil, nil, err
	}
	in, out, err := ort.GetInputOutputInfoWithOptions(path, so)
	convert := func(all []ort.InputOutputInfo) (ports []port) {
		for _, p := range all {
			ports = append(ports, port{p.Name, p.Dimensions, p.DataType == ort.TensorElementDataTypeFloat})
		}
		return ports
	}
	return convert(in), convert(out), err
}
