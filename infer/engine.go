package infer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// ErrNoProvider is what Open wraps when no provider that the configuration allows can run the
// network.
var ErrNoProvider = errors.New("no execution provider")

// errClosed is what Run returns after Close.
var errClosed = errors.New("the engine is closed")

// Info says what an Engine runs on.
type Info struct {
	Provider  string    // tensorrt, cuda, openvino or cpu
	Precision string    // as in Network
	Version   string    // of ONNX Runtime
	Library   string    // path of the library in use
	Threads   int       // of the CPU provider
	MaxBatch  int       // most pictures in one Run
	Tried     []Attempt // providers that were wanted before this one, and why not; best first
	Load      time.Duration
	Engine    string        // folder of the prepared engine; "": the provider needs none, or there is no cache
	Placement *Placement    // which provider runs each node; nil: not established, as on the CPU
	Race      *Race         // against the CPU provider; nil: none was held
	WarmUp    time.Duration // the first run, which is slower than those that follow
}

// Attempt is a provider that could not be used.
type Attempt struct {
	Provider string
	Err      error
}

// Engine is one network, loaded and warm. Its methods may be called from any goroutine; runs queue.
type Engine struct {
	net     ModelFile
	info    Info
	signals signalPlaces
	answers int // the place of what Run makes its answer of, among the outputs
	closed  bool
	loads   func() // is called when net is about to be loaded

	*loaded
}

// Open loads ONNX Runtime and the network on the best provider the configuration allows, and runs
// it once, so that the first picture is as fast as the next. It returns errors that wrap
// ErrNoLibrary or ErrNoProvider, or say in one sentence how the model file differs from the
// manifest.
func Open(ctx context.Context, c Config, net ModelFile) (*Engine, error) {
	if _, err := os.Stat(net.Path); err != nil {
		return nil, fmt.Errorf("infer: open: %w", err)
	}
	return OpenPicked(ctx, c, func(string) (ModelFile, error) { return net, nil }, func() {})
}

// OpenPicked is Open where each provider has a file of its own: pick is asked for it before a
// provider is tried. Where pick has none, its error is why that provider was not used. loads is called
// when the file that was picked last is about to be loaded: a provider that is not worth it gets no
// farther than to its choice.
func OpenPicked(ctx context.Context, c Config, pick func(provider string) (ModelFile, error),
	loads func()) (*Engine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("infer: open: %w", err)
	}
	l, err := acquire(&c)
	if err != nil {
		return nil, fmt.Errorf("infer: open: %w", err)
	}
	e := &Engine{loaded: &loaded{users: 1}, loads: loads, info: Info{
		Version: l.version, Library: l.path, Threads: threads(&c), MaxBatch: max(c.MaxBatch, 1),
	}}
	order, strict := c.orderFor(l.path)
	e.info.Provider, e.info.Tried, err = climb(order, strict, func(provider string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var rival *ModelFile
		if provider == OpenVINO && c.auto() {
			net, err := pick(CPU)
			if err != nil {
				return err
			}
			rival = &net
		}
		net, err := pick(provider)
		if err != nil {
			return err
		}
		e.net, e.info.Precision = net, net.Precision
		return e.start(ctx, provider, &c, rival)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("infer: open %s: %w", e.net.Path, err), release())
	}
	return e, nil
}

// climb tries providers in order until one opens. It never goes on from the first where strict.
func climb(order []string, strict bool, open func(provider string) error) (string, []Attempt, error) {
	var tried []Attempt
	for _, p := range order {
		err := open(p)
		var broken *modelError
		switch {
		case err == nil:
			return p, tried, nil
		case errors.As(err, &broken), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
			return "", tried, err
		}
		tried = append(tried, Attempt{p, err})
		if strict {
			return "", tried, fmt.Errorf("%w: infer.providers wants %s: %w (cure: an ONNX Runtime that has it in "+
				"infer.library, or providers: auto, or on_fallback: warn)",
				ErrNoProvider, p, err)
		}
	}
	why := make([]string, len(tried))
	for i, a := range tried {
		why[i] = fmt.Sprintf("%s: %v", a.Provider, a.Err)
	}
	return "", tried, fmt.Errorf("%w: %s", ErrNoProvider, strings.Join(why, "; "))
}

// start loads the network on a provider and warms it up; where a rival for the CPU provider is
// given, only if it is the faster one. An engine from the cache that does not load is made anew
// once.
func (e *Engine) start(ctx context.Context, provider string, c *Config, rival *ModelFile) error {
	if err := refused(provider, &e.net); err != nil {
		return providerSays(err)
	}
	if provider == CPU || c.Engines == nil {
		own := settingsFor(provider, e.info.Library, &e.net, e.info.MaxBatch, e.info.Threads, "")
		return e.load(provider, c, own)
	}
	job := Job{Provider: provider, Network: e.net, Rival: rival, Library: e.info.Library, Threads: e.info.Threads,
		Batch: e.info.MaxBatch}
	key, options, err := e.entry(ctx, &job)
	if err != nil {
		return err
	}
	for again := false; ; again = true {
		dir, err := c.Engines.ready(ctx, key, job)
		if err != nil {
			return err
		}
		if e.info.Placement, err = readPlacement(dir); err != nil {
			return err
		}
		if rival != nil {
			if e.info.Race, err = readRace(dir); err != nil {
				return err
			}
			if err := e.info.Race.lost(provider); err != nil {
				return err
			}
		}
		err = e.load(provider, c, options(dir))
		var broken *modelError
		if err == nil || again || errors.As(err, &broken) || ctx.Err() != nil {
			e.info.Engine = dir
			return err
		}
		if err := c.Engines.forget(ctx, key); err != nil {
			return err
		}
	}
}

// entry names the engine that a job makes, and hands out the provider's options with the engine in
// the folder of that name.
func (e *Engine) entry(ctx context.Context, job *Job) (entry, func(dir string) map[string]string, error) {
	facts := gpuFacts{Arch: processor()}
	if job.Provider != OpenVINO {
		facts = lookAtGPU(job.Library)
	}
	options := func(dir string) map[string]string {
		if job.Provider == TensorRT {
			return tensorRTOptions(facts, &job.Network, job.Batch, dir)
		}
		return settingsFor(job.Provider, job.Library, &job.Network, job.Batch, job.Threads, dir)
	}
	sum, err := job.Network.digest(ctx)
	if err != nil {
		return entry{}, nil, err
	}
	considered := options("")
	if job.Rival != nil {
		if considered["rival"], err = job.Rival.digest(ctx); err != nil {
			return entry{}, nil, err
		}
	}
	return entryFor(job.Provider, sum, e.info.Version, facts, job.Network.Precision, considered), options, nil
}

// load opens the session and runs it once. Where a GPU's libraries come in, Go's signal handlers
// are put back.
func (e *Engine) load(provider string, c *Config, own map[string]string) error {
	e.loads()
	if provider == CPU {
		return e.open(provider, c, own)
	}
	_, err := guardSignals(func() error { return e.open(provider, c, own) })
	return err
}

func (e *Engine) open(provider string, c *Config, own map[string]string) error {
	options, err := sessionOptions(provider, c, own)
	if err != nil {
		return providerSays(err)
	}
	defer options.Destroy()
	outputs := outputsOf(&e.net, e.info.MaxBatch)
	s, err := e.warm(options, outputs)
	if err != nil && len(outputs) > 1 && provider == CPU {
		s, err = e.warm(options, outputs[:1]) // what else the file names may not be what it says
	}
	if err != nil {
		return err
	}
	e.session, e.signals = s, signalsOf(s.outputs)
	trim()
	return nil
}

// Info says what the engine runs on. It does not change after Open.
func (e *Engine) Info() Info { return e.info }

// Run classifies the t.Shape[0] pictures of t: out gets that many rows of logits and must have just
// that length. Nothing is allocated and nothing of t or out is kept. With a largest batch of 1 a
// cancelled ctx ends the run between two nodes of the graph; else the run is completed first.
func (e *Engine) Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error {
	if err := e.fits(t, out); err != nil {
		return err
	}
	return e.run(ctx, t, func() { e.answer(out) })
}

// Features is Run without the head: out gets Width features for each picture, as they come out of
// the model file.
func (e *Engine) Features(ctx context.Context, t *vision.Tensor, out []float32) error {
	if n := t.Shape[0]; int64(len(out)) != n*int64(e.net.columns()) {
		return fmt.Errorf("infer: run: room for %d features of %d pictures with %d each", len(out), n, e.net.columns())
	}
	return e.run(ctx, t, func() { copy(out, e.row()) })
}

// run classifies the pictures of t and lets take fetch the answers.
func (e *Engine) run(ctx context.Context, t *vision.Tensor, take func()) error {
	n, side := t.Shape[0], int64(e.net.Size)
	switch {
	case n < 1 || n > int64(e.info.MaxBatch):
		return fmt.Errorf("infer: run: %d pictures, infer.max_batch is %d", n, e.info.MaxBatch)
	case t.Shape != [4]int64{n, 3, side, side} || int64(len(t.Data)) != n*3*side*side:
		return fmt.Errorf("infer: run: tensor %v of %d values, the network takes [N 3 %d %d]", t.Shape, len(t.Data),
			side, side)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fmt.Errorf("infer: run: %w", errClosed)
	}
	e.follow(ctx)
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("infer: run: %w", err)
	}
	copy(e.session.input, t.Data)
	if err := e.session.run(int(n)); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("infer: run: %w", err)
	}
	take()
	return nil
}
