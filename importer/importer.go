// Package importer makes bundles of trained networks: PyTorch checkpoints, .safetensors and .onnx
// files.
package importer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/verify"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// Options are the choices of one Import.
type Options struct {
	File       string // checkpoint or .onnx, or the folder of one
	Labels     string // a file with one label a line, or the labels with commas between; "": what lies beside says so
	Preprocess string // torchvision, or KEY=V,… as ParsePreprocess reads it; "": what lies beside says so
	Like       string // a published network, as torchvision:resnet50 or timm:NAME, whose pictures were prepared so
	Out        string // folder of the bundle to make
	Input      int    // width in pixels, and height; of .onnx what the file says, where InputGiven is false
	Height     int    // of the input where it is not Input; 0: it is
	InputGiven bool
	Output     string // of .onnx: the tensor with the scores; "": the one output that can hold them
	Key        string // where in a nested checkpoint the weights are; "": the best place
	Golden     string // safetensors file for verify; "": made where they are needed
	Name       string // of the bundle; "": that of the folder
	Version    string
	Runtime    func() (infer.Config, error) // for the goldens of a network that only a runtime can compute
	Run        Runner                       // for files as they come; nil: in this process

	multi   bool        // what lies beside says that the labels do not exclude each other
	opened  *onnx.Model // the .onnx file, before its graph is rewritten
	namedBy string      // what says the labels, --labels or a file beside
	madeFor [2]int      // height and width that what lies beside prepares pictures for
	madeBy  string
}

func (o *Options) height() int { return cmp.Or(o.Height, o.Input) }

// OptionError is a value of an option that cannot be.
type OptionError struct {
	Option string // as on the command line: labels, preprocess
	Err    error
}

func (e *OptionError) Error() string { return "--" + e.Option + ": " + e.Err.Error() }

// Unwrap is Err.
func (e *OptionError) Unwrap() error { return e.Err }

// Result is what came in.
type Result struct {
	Bundle       string `json:"bundle"` // the folder
	Architecture string `json:"architecture"`
	Parameters   int64  `json:"parameters"`
	SHA256       string `json:"sha256"` // of the network's file
}

// imported is a network on its way into a bundle.
type imported struct {
	graph      *onnx.Model
	spec       bundle.Spec
	parameters int64
	what       string // the architecture in words
	foreign    bool   // not a VGG of ours: nothing here can compute its answers but a runtime

	classifier *onnx.Classifier // of a foreign one: how its file is fed and answers
	loose      float64          // how far the rewritten one may be off
	goldens    *verify.Goldens  // what the rewritten one answered when it was proven
	files      []io.Closer      // that graph reads from
}

func (n *imported) close() error {
	var errs []error
	for _, f := range n.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Import makes the bundle. What it took for granted it says on p.
func Import(ctx context.Context, o Options, p *progress.Progress) (*Result, error) {
	labels, err := o.fill(p)
	defer func() {
		if o.opened != nil {
			o.opened.Close()
		}
	}()
	if option := (*OptionError)(nil); errors.As(err, &option) {
		return nil, option
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	if len(labels) == 1 {
		return nil, &OptionError{"labels", errors.New("one label is no choice: a softmax of one score is always 1; " +
			"a network with one score tells two labels apart: give both, first the one that 0 means")}
	}
	n, err := read(&o, labels, p)
	if option := (*OptionError)(nil); errors.As(err, &option) {
		return nil, option
	}
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	defer n.close()
	if n.spec.Preprocess, err = preprocess(&o, n); err != nil {
		return nil, &OptionError{"preprocess", err}
	}
	if odd := contradiction(&n.spec.Preprocess); odd != "" && !n.bytes() {
		p.Say("warning: --preprocess: %s", odd)
	}
	if err := n.write(ctx, &o, p); err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return &Result{o.Out, n.what, n.parameters, n.spec.Files[bundle.FileFP32].SHA256}, nil
}

func read(o *Options, labels []string, p *progress.Progress) (*imported, error) {
	if IsONNX(o.File) {
		n, err := fromONNX(labels, o)
		if count := (*onnx.CountError)(nil); errors.As(err, &count) {
			err = fmt.Errorf("%s: %w", o.File, o.miscounted(labels, count.Scores))
		}
		if err == nil {
			p.Say("%s", taken(n.classifier, len(labels)))
		}
		return n, err
	}
	if o.height() != o.Input {
		return nil, &OptionError{"input", errors.New("a VGG of a checkpoint takes squares: give one number")}
	}
	n, file, err := fromCheckpoint(p, labels, o)
	if err == nil {
		n.files = append(n.files, file)
	}
	return n, err
}

// bytes tells whether the network takes integers, of which it makes what it wants itself.
func (n *imported) bytes() bool {
	if !n.foreign {
		return false
	}
	switch n.classifier.Picture.Type {
	case onnx.Float32, onnx.Float16, onnx.Float64, onnx.BFloat16:
		return false
	}
	return true
}

// fromCheckpoint makes a graph of a checkpoint, which stays open until the graph is written.
func fromCheckpoint(p *progress.Progress, labels []string, o *Options) (*imported, io.Closer, error) {
	file, err := checkpoint.Open(o.File, o.Key)
	if err != nil {
		return nil, nil, err
	}
	if err := oneOf(file); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s %w", o.File, err), file.Close())
	}
	if len(file.Others) > 0 {
		p.Say("took the weights under %q; there are also: %s (--key)", file.Key, strings.Join(file.Others, ", "))
	}
	if o.Golden == "" {
		p.Say("taken for: ReLU, max-pools, batch normalization with eps 1e-5, sigmoid gates; the file does not say " +
			"so, prove it with --golden")
	}
	n, err := fromTensors(file, labels, o)
	if part := partOf.FindString(filepath.Base(o.File)); err != nil && part != "" {
		err = fmt.Errorf("it is one of several parts of a checkpoint (%s): give the …index.json beside it", part)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", o.File, err), file.Close())
	}
	return n, file, nil
}

// oneOf is an error where a checkpoint holds several networks, and neither it nor --key says which is
// meant: the wrong one would answer like a network, only worse.
func oneOf(file *checkpoint.File) error {
	if len(file.Rivals) == 0 {
		return nil
	}
	keys, hint := append([]string{file.Key}, file.Rivals...), ""
	if slices.ContainsFunc(keys, func(k string) bool { return strings.Contains(k, "teacher") }) {
		hint = " (a teacher of its student's shape is mostly the student's average over time, and then the one to use)"
	}
	return fmt.Errorf("holds %d networks of one shape: choose by --key %s%s", len(keys),
		strings.Join(keys, " or --key "), hint)
}

// partOf is in the name of a file that holds a part of a checkpoint.
var partOf = regexp.MustCompile(`\d{5}-of-\d{5}`)

func fromTensors(file *checkpoint.File, labels []string, o *Options) (*imported, error) {
	a, weights, err := vgg16se.Recognize(file.Tensors, o.Input)
	if err != nil {
		return nil, err
	}
	if a.Full().Classes == 1 && len(labels) == 2 {
		a, weights = a.TwoClasses(weights)
	}
	if classes := a.Full().Classes; len(labels) != classes {
		return nil, o.miscounted(labels, classes)
	}
	graph, err := a.Graph(weights)
	if err != nil {
		return nil, err
	}
	parameters, _ := a.Parameters()
	return &imported{graph: graph, spec: vgg16se.NewSpec(a, labels), parameters: parameters, what: a.String()}, nil
}

// write makes the folder of the bundle.
func (n *imported) write(ctx context.Context, o *Options, p *progress.Progress) error {
	n.spec.Name, n.spec.Version = o.Name, o.Version
	if o.Name == "" {
		n.spec.Name = filepath.Base(filepath.Clean(o.Out))
	}
	n.spec.Provenance = bundle.Provenance{Tool: "vggse-agent import", Source: filepath.Base(o.File),
		Created: time.Now().UTC().Truncate(time.Second)}
	return atomicfile.NewDir(o.Out, func(dir string) error {
		write := n.writeNetwork
		if n.foreign {
			write = func(ctx context.Context, dir string, p *progress.Progress) error {
				return n.writeProven(ctx, o, dir, p)
			}
		}
		if err := write(ctx, dir, p); err != nil {
			return err
		}
		if o.Golden != "" || n.foreign { // the reference of a VGG of ours is computed on demand
			if err := n.addGoldens(ctx, o, dir, p); err != nil {
				return err
			}
		}
		return bundle.WriteSpec(dir, &n.spec)
	})
}

// writeNetwork writes, or writes anew, the file of the network.
func (n *imported) writeNetwork(ctx context.Context, dir string, p *progress.Progress) error {
	checkNumbers(n.graph)
	n.graph.Expose(n.spec.Output.Name, onnx.AllSignals)
	bar := p.StartBytes("writing weights", onnx.Size(n.graph))
	f, err := bundle.WriteFile(ctx, dir, "fp32.onnx", bar, func(w io.Writer) error { return onnx.Write(w, n.graph) })
	if bad := (*weightError)(nil); errors.As(err, &bad) { // where it was being written to says nothing
		return bad
	}
	if err != nil {
		return err
	}
	bar.Done()
	n.spec.Files = map[string]bundle.File{bundle.FileFP32: f}
	return nil
}

func (n *imported) addGoldens(ctx context.Context, o *Options, dir string, p *progress.Progress) (err error) {
	if o.Golden == "" && n.goldens != nil {
		n.spec.Files[bundle.FileGolden], err = n.goldens.Write(ctx, dir)
		return err
	}
	if o.Golden != "" && n.foreign {
		g, err := n.ownTerms(o.Golden)
		if err == nil && g != nil {
			n.spec.Files[bundle.FileGolden], err = g.Write(ctx, dir)
		}
		if err != nil || g != nil {
			return err
		}
	}
	var c infer.Config
	if o.Golden == "" {
		if c, err = o.Runtime(); err != nil {
			return err
		}
	}
	g, err := verify.ForImport(ctx, c, &n.spec, dir, o.Golden)
	if errors.Is(err, infer.ErrNoLibrary) {
		p.Say("no goldens: there is no ONNX Runtime here to make them; verify will want --golden")
		return nil
	}
	switch {
	case o.Golden == "" && (errors.Is(err, infer.ErrNoProvider) || err != nil && fixedBatch.MatchString(err.Error())):
		return n.cannotRun(err)
	case err != nil:
		return fmt.Errorf("goldens: %w", err)
	}
	n.spec.Files[bundle.FileGolden], err = g.Write(ctx, dir)
	return err
}
