package quant

import (
	"context"

	"github.com/vggse/vggse-agent/vision"
)

// Session is a network that is loaded and can run, from several goroutines at once.
type Session interface {
	// Run feeds the pictures of x and hands every output to visit, by its place in Options.Outputs. The
	// values are valid only during that call.
	Run(ctx context.Context, x *vision.Tensor, visit func(output int, v []float32)) error
	Close() error
}

// Options say how to load a network.
type Options struct {
	Outputs   []string // tensors to hand out
	Optimized string   // where the runtime writes the graph that it really runs; "": nowhere
	Plain     bool     // the runtime must not rewrite the graph
}

// Runtime loads model files on the CPU, to be run with one thread each.
type Runtime interface {
	Open(ctx context.Context, path string, o Options) (Session, error)
}
