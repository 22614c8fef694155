package infer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/vision"
)

// Execution providers, in the order in which "auto" tries them.
const (
	TensorRT = "tensorrt"
	CUDA     = "cuda"
	OpenVINO = "openvino" // on processors of x86-64
	CPU      = "cpu"
)

// auto stands for "find it yourself", for the library and for the provider.
const auto = "auto"

var ladder = []string{TensorRT, CUDA, OpenVINO, CPU}

// Config is the section "infer" of the configuration.
type Config struct {
	// path of libonnxruntime.so; "auto" or empty: search, see Candidates
	Library   string   `mapstructure:"library"`
	Providers []string `mapstructure:"providers"` // "auto" alone, or a list of providers; empty is auto
	// "fail" (or empty) or "warn": what if the first of a list cannot be used
	OnFallback string `mapstructure:"on_fallback"`
	Threads    int    `mapstructure:"threads"`   // of the CPU provider; 0: one for each core the process may use
	MaxBatch   int    `mapstructure:"max_batch"` // most pictures in one Run; 0 is 1
	// MaxWait is how long a picture waits for others to fill a batch. Whoever calls Run goes by it.
	MaxWait time.Duration `mapstructure:"max_wait"`

	// folder of the libraries that 'runtime install' put there, see Candidates; "": none
	Runtimes string `mapstructure:"-"`
	// runtimes/ of the state folder, where it is not Runtimes: versions before 0.2 installed there
	ownRuntimes string

	// Engines is the cache of what GPU providers build; nil: they build at each start.
	Engines *Engines `mapstructure:"-"`
}

// SystemRuntimes is the folder of the runtimes of the service. Only root writes there: what the
// service may write, root must not load.
const SystemRuntimes = "/opt/vggse-agent/runtimes"

// In says where what belongs to the machine lies: installed runtimes and the pins of engines in the
// state folder, engines in the cache. Runtimes of the service are in SystemRuntimes.
func (c *Config) In(stateDir, cacheDir string, service bool) {
	c.Runtimes = filepath.Join(stateDir, "runtimes")
	if service {
		c.Runtimes, c.ownRuntimes = SystemRuntimes, c.Runtimes
	}
	c.Engines = &Engines{Cache: filepath.Join(cacheDir, "engines"), State: stateDir}
}

// Validate returns the first setting that cannot be, naming its key. It touches no file but the one
// that Library names.
func (c *Config) Validate() error {
	if c.explicit() {
		if info, err := os.Stat(c.Library); err != nil || info.IsDir() {
			return fmt.Errorf("infer.library: %s is not a file: name a libonnxruntime.so, or auto", c.Library)
		}
	}
	for i, p := range c.Providers {
		switch {
		case p == auto && len(c.Providers) > 1:
			return fmt.Errorf("infer.providers: auto stands alone or not at all, got %s",
				strings.Join(c.Providers, ", "))
		case p != auto && !slices.Contains(ladder, p):
			return fmt.Errorf("infer.providers[%d]: must be auto or one of %s, got %q", i, strings.Join(ladder, ", "),
				p)
		case slices.Index(c.Providers, p) != i:
			return fmt.Errorf("infer.providers[%d]: %s is there twice", i, p)
		}
	}
	switch {
	case c.OnFallback != "" && c.OnFallback != "fail" && c.OnFallback != "warn":
		return fmt.Errorf("infer.on_fallback: must be fail or warn, got %q", c.OnFallback)
	case c.Threads < 0 || c.Threads > 1024:
		return fmt.Errorf("infer.threads: must be 0 (one for each core) to 1024, got %d", c.Threads)
	case c.MaxWait < 0 || c.MaxWait > time.Second:
		return fmt.Errorf("infer.max_wait: must be 0s to 1s, got %s", c.MaxWait)
	case c.MaxBatch < 0 || c.MaxBatch > 256:
		return fmt.Errorf("infer.max_batch: must be 1 to 256, got %d", c.MaxBatch)
	}
	return nil
}

// explicit tells whether the configuration names the library itself.
func (c *Config) explicit() bool { return c.Library != "" && c.Library != auto }

// order returns the providers to try, and whether only the first will do.
func (c *Config) order() (providers []string, strict bool) {
	if c.auto() {
		return ladder, false
	}
	return c.Providers, c.OnFallback != "warn"
}

// auto tells whether the provider is to be found.
func (c *Config) auto() bool { return len(c.Providers) == 0 || c.Providers[0] == auto }

// orderFor is order with the ONNX Runtime at library. OpenVINO is found only where it was
// installed, and where there is a cache for what was measured: it is not always the faster one.
func (c *Config) orderFor(library string) (providers []string, strict bool) {
	providers, strict = c.order()
	if c.auto() && (c.Engines == nil || !hasProvider(library, OpenVINO)) {
		providers = slices.DeleteFunc(slices.Clone(providers), func(p string) bool { return p == OpenVINO })
	}
	return providers, strict
}

// ModelFile says which model file to run and what the manifest of its bundle promises about it.
type ModelFile struct {
	Path          string // the .onnx file
	Input, Output string // names in the graph: input float32 N×3×Size×Size, output float32 N×Classes
	Size          int    // pixels of a side
	Classes       int
	// Features is how many numbers the file answers a picture with where its last layer is Head;
	// 0: Classes
	Features  int
	Head      *vision.Head `json:"-"` // makes logits of features; nil: Run answers with the output as it is
	Precision string       // of the file, as the user says it: fp32, fp16, int8
	Golden    string       // safetensors file with pictures "input" to test an engine with; "": made-up ones
	SHA256    string       // of the file, as the manifest has it; "": it is worked out where it is needed
}

// digest is the SHA-256 of the file.
func (m *ModelFile) digest(ctx context.Context) (string, error) {
	if m.SHA256 != "" {
		return m.SHA256, nil
	}
	return atomicfile.HashFile(ctx, m.Path)
}

// columns is how many numbers the file answers a picture with.
func (m *ModelFile) columns() int {
	if m.Features > 0 {
		return m.Features
	}
	return m.Classes
}
