package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// goldens are pictures and the logits that a network must answer with.
type goldens struct {
	input  *vision.Tensor
	logits vision.Logits
	origin string // where the logits come from
}

// Origins of goldens that this program makes itself.
const (
	originReference = "float64 reference in Go"
	originSelfMade  = "self-made: what ONNX Runtime's CPU provider answered at import"
)

// goldenName is the file of goldens in a bundle.
const goldenName = "golden.safetensors"

// goldenPairs is how many pictures are made up where none are given.
const goldenPairs = 3

// seededPictures are preprocessed pictures of noise: normal, as mean and std make them.
func seededPictures(n, size int) *vision.Tensor {
	x := vision.NewTensor(n, 3, size, size)
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

// readGoldens reads a safetensors file with the tensors input and logits and sees that they fit the bundle.
func readGoldens(path string, spec *bundle.Spec) (*goldens, error) {
	file, err := checkpoint.Open(path, "")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	input, logits := file.Tensor("input"), file.Tensor("logits")
	size, classes := int64(spec.Architecture.InputSize), int64(len(spec.Labels))
	switch {
	case input == nil || logits == nil:
		return nil, fmt.Errorf("%s: it must hold the tensors input and logits", path)
	case len(input.Shape) != 4 || input.Shape[1] != 3 || input.Shape[2] != size || input.Shape[3] != size:
		return nil, fmt.Errorf("%s: input is %v, must be n×3×%d×%d", path, input.Shape, size, size)
	case len(logits.Shape) != 2 || logits.Shape[0] != input.Shape[0] || logits.Shape[1] != classes || logits.Shape[0] == 0:
		return nil, fmt.Errorf("%s: logits are %v, must be %d×%d", path, logits.Shape, input.Shape[0], classes)
	}
	g := &goldens{input: vision.NewTensor(int(input.Shape[0]), 3, int(size), int(size)), origin: file.Metadata["origin"]}
	g.logits = make(vision.Logits, logits.Elements())
	if g.origin == "" {
		g.origin = filepath.Base(path)
	}
	return g, errors.Join(decode(input, g.input.Data), decode(logits, g.logits))
}

func decode(t *checkpoint.Tensor, into []float32) error {
	i := 0
	return t.Values(func(v []float64) error {
		for _, x := range v {
			into[i] = float32(x)
			i++
		}
		return nil
	})
}

// write puts the goldens into dir and returns their manifest entry.
func (g *goldens) write(ctx context.Context, dir string) (bundle.File, error) {
	floats := func(v []float32) onnx.Source {
		return func(w io.Writer) error {
			var b bytes.Buffer
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				return err
			}
			_, err := w.Write(b.Bytes())
			return err
		}
	}
	n := g.input.Shape[0]
	tensors := []checkpoint.Out{
		{Name: "input", Shape: g.input.Shape[:], Source: floats(g.input.Data)},
		{Name: "logits", Shape: []int64{n, int64(len(g.logits)) / n}, Source: floats(g.logits)},
	}
	return bundle.WriteFile(ctx, dir, goldenName, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, map[string]string{"origin": g.origin})
	})
}

// storeGolden puts goldens into a bundle on its way: those of the file given, else of a foreign network what the
// CPU provider answers. A VGG of ours needs none: its reference is computed on demand.
func storeGolden(cmd *cobra.Command, s *settings, n *imported, dir, given string) error {
	var g *goldens
	var err error
	switch {
	case given != "":
		g, err = readGoldens(given, &n.spec)
	case n.foreign:
		g, err = selfMade(cmd.Context(), s, &n.spec, dir)
		if errors.Is(err, infer.ErrNoLibrary) {
			fmt.Fprintln(cmd.ErrOrStderr(), "no goldens: there is no ONNX Runtime here to make them; verify will want --golden")
			return nil
		}
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("goldens: %w", err)
	}
	n.spec.Files[bundle.FileGolden], err = g.write(cmd.Context(), dir)
	return err
}

// selfMade runs seeded pictures through the network in dir on the CPU.
func selfMade(ctx context.Context, s *settings, spec *bundle.Spec, dir string) (*goldens, error) {
	e, err := s.load()
	if err != nil {
		return nil, err
	}
	c := e.Config.Infer
	c.Providers, c.MaxBatch = []string{infer.CPU}, 1
	engine, err := infer.Open(ctx, c, infer.ModelFile{Path: filepath.Join(dir, spec.Files[bundle.FileFP32].Path), Input: spec.Input.Name, Output: spec.Output.Name,
		Size: spec.Architecture.InputSize, Classes: len(spec.Labels), Precision: "fp32"})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	g := &goldens{input: seededPictures(goldenPairs, spec.Architecture.InputSize), origin: originSelfMade}
	g.logits, err = runPairs(ctx, engine, g.input, len(spec.Labels))
	return g, err
}

// runner is a loaded network.
type runner interface {
	Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error
}

// runPairs answers for every picture of the batch, one at a time.
func runPairs(ctx context.Context, r runner, x *vision.Tensor, classes int) (vision.Logits, error) {
	n := int(x.Shape[0])
	logits := make(vision.Logits, n*classes)
	for i := range n {
		if err := r.Run(ctx, picture(x, i), logits[i*classes:][:classes]); err != nil {
			return nil, err
		}
	}
	return logits, nil
}

// picture is picture i of a batch, in place.
func picture(x *vision.Tensor, i int) *vision.Tensor {
	size := len(x.Data) / int(x.Shape[0])
	return &vision.Tensor{Shape: [4]int64{1, x.Shape[1], x.Shape[2], x.Shape[3]}, Data: x.Data[i*size:][:size]}
}
