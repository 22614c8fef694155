package infer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/vision"
)

// errSelfTest is what a build ends with whose engine answers otherwise than the CPU.
var errSelfTest = errors.New("self-test")

// Prepare does a job: it runs inputs (normalized pictures; nil: made-up ones) on the CPU provider,
// lets the GPU's provider build its engine into job.Dir, compares the answers, and writes down
// which provider runs each node. The CPU's copy of the weights is gone before the GPU's is made. It
// holds one OS thread in C for minutes, and ctx ends it between two steps only: run it in a process
// that can be killed.
func Prepare(ctx context.Context, job Job, inputs *vision.Tensor) error {
	c := Config{Library: job.Library, Threads: job.Threads, MaxBatch: job.Batch}
	l, err := acquire(&c)
	if err != nil {
		return err
	}
	defer release()
	if inputs == nil {
		inputs = noise(3, job.Network.Size)
	}
	c.Providers = []string{CPU}
	want, err := answers(ctx, &c, CPU, nil, &job.Network, inputs)
	if err != nil {
		return fmt.Errorf("on the cpu: %w", err)
	}
	c.Providers = []string{job.Provider}
	c.OnFallback = "warn" // what stays on the CPU is found out below
	own := settingsFor(job.Provider, l.path, &job.Network, job.Batch, threads(&c), job.Dir)
	got, err := answers(ctx, &c, job.Provider, own, &job.Network, inputs)
	if err != nil {
		return err
	}
	if err := agree(want, got, Tolerance(job.Network.Precision, job.Provider), job.Provider); err != nil {
		return err
	}
	// The session of the profile reads the engine back: it was written whole.
	p, err := Place(ctx, c, job.Provider, job.Dir, job.Network)
	if err != nil {
		return err
	}
	if job.Rival != nil {
		if err := race(ctx, &c, &job, l.path); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(job.Dir, placementFile), p)
}

// answers runs each picture of inputs in a session of its own.
func answers(ctx context.Context, c *Config, provider string, own map[string]string, net *ModelFile,
	inputs *vision.Tensor) (logits vision.Logits, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	so, err := sessionOptions(provider, c, own)
	if err != nil {
		return nil, providerSays(err)
	}
	defer so.Destroy()
	s, err := newSession(so, net, 1, outputsOf(net, 1))
	if err != nil {
		return nil, explain(err, net, 1)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	size := len(s.input)
	for i := range int(inputs.Shape[0]) {
		copy(s.input, inputs.Data[i*size:][:size])
		if err := s.run(1); err != nil {
			return nil, oneLine(err)
		}
		logits = append(logits, s.outputs[0].values...)
	}
	return logits, ctx.Err()
}

// Tolerance of a precision on a provider: how far answers may be from exact ones, in parts of the
// largest logit. On a GPU FP32 is TF32 where it can be, which has a mantissa of 10 bits.
func Tolerance(precision, provider string) float64 {
	switch {
	case precision == "int8":
		return 0.2
	case precision == "fp16":
		return 2e-2
	case precision == "bf16":
		return 0.1 // its mantissa has 8 bits
	case provider != CPU:
		return 5e-3
	}
	return 1e-4
}

// Difference compares answers: the largest difference, and the largest magnitude of want. What is
// no number is infinitely far off.
func Difference(want, got vision.Logits) (worst, largest float64) {
	for i, w := range want {
		d := math.Abs(float64(w) - float64(got[i]))
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		largest, worst = max(largest, math.Abs(float64(w))), max(worst, d)
	}
	return worst, largest
}

// agree compares the answers of an engine with those of the CPU.
func agree(want, got vision.Logits, tolerance float64, provider string) error {
	worst, largest := Difference(want, got)
	if worst > tolerance*largest {
		return fmt.Errorf("%w: the engine that %s built answers %.3g off from the cpu's %.3g, %.3g is allowed: it "+
			"is not used; report the model and the versions that 'vggse-agent doctor' shows, or set "+
			"model.precision to another",
			errSelfTest, provider, worst, largest, tolerance*largest)
	}
	return nil
}

// noise are pictures as mean and standard deviation make them.
func noise(n, size int) *vision.Tensor {
	x := vision.NewTensor(n, 3, size, size)
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

// tooLittle are the words of CUDA, TensorRT and ONNX Runtime for memory that ran out.
var tooLittle = []string{"out of memory", "OutOfMemory", "CUDA_ERROR_OUT_OF_MEMORY", "Failed to allocate memory",
	"bad_alloc"}

// explainBuild adds to a build that failed for want of memory what helps; a failed self-test stops
// the ladder, but where there is a rival, which then runs.
func explainBuild(err error, rival bool) error {
	if errors.Is(err, errSelfTest) || strings.HasPrefix(err.Error(), errSelfTest.Error()+": ") {
		if rival {
			return err
		}
		return wrong("%s", err)
	}
	if slices.ContainsFunc(tooLittle, func(words string) bool { return strings.Contains(err.Error(), words) }) {
		return fmt.Errorf("%w (memory ran out while the engine was built: end other programs and the desktop, "+
			"build with 'vggse-agent build' before the cameras are open, or prune the network; swap does not help "+
			"a GPU)", err)
	}
	return err
}
