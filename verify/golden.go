// Package verify compares the answers of a bundle with goldens: pictures and the logits that the
// network must answer with.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
	"github.com/vggse/vggse-agent/vision"
)

// Goldens are pictures, preprocessed, and the logits that a network must answer with.
type Goldens struct {
	Input  *vision.Tensor // N×3×S×S
	Logits vision.Logits
	Origin string // where the logits come from
	// Tolerance is how far INT8 may be off, in parts of the largest logit, where it was measured;
	// 0: infer.Tolerance.
	Tolerance float64

	features vision.Logits // where these are compared, not Logits; nil: Logits are
}

// Origins of goldens that this program makes itself.
const (
	OriginReference = "float64 reference in Go"
	OriginJudged    = "what FP32 answered to judged pictures"
	OriginTaught    = "what INT8 answered when the bundle was taught"
	OriginOwnFP32   = "what FP32 answers here to made-up pictures"
	OriginSelfMade  = "self-made: what ONNX Runtime's CPU provider answered at import"
)

// Files of goldens in a bundle: of the network, and of its INT8 files.
const (
	FileName  = "golden.safetensors"
	FileName8 = "golden.int8.safetensors"
)

// Pairs is how many pictures are made up where none are given.
const Pairs = 3

// seededPictures are preprocessed pictures of noise: normal, as mean and std make them.
func seededPictures(n, size int) *vision.Tensor {
	x := vision.NewTensor(n, 3, size, size)
	r := rand.New(rand.NewPCG(1, uint64(size)))
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

// Read reads a safetensors file with the tensors input and logits and sees that they fit the
// bundle.
func Read(path string, spec *bundle.Spec) (*Goldens, error) {
	file, err := checkpoint.Open(path, "")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("goldens are a .safetensors file with the tensors input and logits: %w", err)
	}
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
	case len(logits.Shape) != 2 || logits.Shape[0] != input.Shape[0] || logits.Shape[1] != classes ||
		logits.Shape[0] == 0:
		return nil, fmt.Errorf("%s: logits are %v, must be %d×%d", path, logits.Shape, input.Shape[0], classes)
	}
	g := &Goldens{Input: vision.NewTensor(int(input.Shape[0]), 3, int(size), int(size)),
		Origin: file.Metadata["origin"]}
	g.Logits = make(vision.Logits, logits.Elements())
	if s := file.Metadata["tolerance"]; s != "" {
		if g.Tolerance, err = strconv.ParseFloat(s, 64); err != nil || !(g.Tolerance >= 0 && g.Tolerance <= 1) {
			return nil, fmt.Errorf("%s: its tolerance %q must be 0 to 1", path, s)
		}
	}
	if g.Origin == "" {
		g.Origin = filepath.Base(path)
	}
	if err := errors.Join(decode(input, g.Input.Data), decode(logits, g.Logits)); err != nil {
		return nil, err
	}
	for name, v := range map[string][]float32{"input": g.Input.Data, "logits": g.Logits} {
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("%s: %s[%d] is %g: goldens must be numbers", path, name, i, x)
			}
		}
	}
	return g, nil
}

func decode(t *checkpoint.Tensor, into []float32) error {
	v, err := t.Float32s()
	copy(into, v)
	return err
}

// Write puts the goldens into dir and returns their manifest entry.
func (g *Goldens) Write(ctx context.Context, dir string) (bundle.File, error) {
	return g.WriteAs(ctx, dir, FileName)
}

// WriteAs is Write with the name of the file.
func (g *Goldens) WriteAs(ctx context.Context, dir, name string) (bundle.File, error) {
	n := g.Input.Shape[0]
	tensors := []checkpoint.Out{
		{Name: "input", Shape: g.Input.Shape[:], Source: checkpoint.Float32s(g.Input.Data)},
		{Name: "logits", Shape: []int64{n, int64(len(g.Logits)) / n}, Source: checkpoint.Float32s(g.Logits)},
	}
	facts := map[string]string{"origin": g.Origin}
	if g.Tolerance > 0 {
		facts["tolerance"] = strconv.FormatFloat(g.Tolerance, 'g', 4, 64)
	}
	return bundle.WriteFile(ctx, dir, name, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, facts)
	})
}

// ForImport makes the goldens of a bundle on its way in the folder dir: those of the file given,
// else what the CPU provider answers to seeded pictures. With neither, because there is no ONNX
// Runtime, it returns infer.ErrNoLibrary.
func ForImport(ctx context.Context, c infer.Config, spec *bundle.Spec, dir, given string) (*Goldens, error) {
	if given != "" {
		g, err := Read(given, spec)
		if err == nil && rawScores(g.Logits, len(spec.Labels)) != nil {
			err = fmt.Errorf("%s: its logits are probabilities (every row sums to 1): give the raw scores in front "+
				"of the softmax", given)
		}
		return g, err
	}
	c.Providers, c.MaxBatch = []string{infer.CPU}, 1
	engine, err := infer.Open(ctx, c, infer.ModelFile{Path: filepath.Join(dir, spec.Files[bundle.FileFP32].Path),
		Input:  spec.Input.Name,
		Output: spec.Output.Name, Size: spec.Architecture.InputSize, Classes: len(spec.Labels), Precision: "fp32"})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	g := &Goldens{Input: seededPictures(Pairs, spec.Architecture.InputSize), Origin: OriginSelfMade}
	if g.Logits, err = runPairs(ctx, engine, g.Input, len(spec.Labels)); err != nil {
		return nil, err
	}
	return g, rawScores(g.Logits, len(spec.Labels))
}

// rawScores refuses answers that are no numbers, and rows that are probabilities already, whatever
// in a graph makes them so: a softmax would be taken of them once more.
func rawScores(v vision.Logits, classes int) error {
	shares := 0
	for row := range slices.Chunk(v, classes) {
		for _, x := range row {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return errors.New("the network answers with NaN or infinity: its weights are damaged")
			}
		}
		if Shares(row) {
			shares++
		}
	}
	if shares*classes == len(v) {
		return errors.New("the network answers with probabilities (every row sums to 1): export it with raw scores, " +
			"without its last softmax")
	}
	return nil
}

// Shares tells whether the numbers are probabilities: none below 0, and together 1.
func Shares(row []float32) bool {
	sum, least := 0.0, 0.0
	for _, x := range row {
		sum, least = sum+float64(x), min(least, float64(x))
	}
	return least >= 0 && math.Abs(sum-1) < 1e-3
}

// MadeUp are made-up pictures 1×3×S×S of a bundle, preprocessed: noise and slow waves, or where
// the network takes bytes only waves, in whole numbers as its preprocessing makes them.
func MadeUp(spec *bundle.Spec, bytes bool) []*vision.Tensor {
	size := spec.Architecture.InputSize
	waves := smoothPictures(Pairs, size, &spec.Preprocess)
	all := make([]*vision.Tensor, Pairs)
	for i := range all {
		all[i] = picture(waves, i)
	}
	if !bytes {
		all[0] = seededPictures(1, size)
	}
	return all
}

// runPairs answers for every picture of the batch, one at a time.
func runPairs(ctx context.Context, r *infer.Engine, x *vision.Tensor, classes int) (vision.Logits, error) {
	n := int(x.Shape[0])
	logits := make(vision.Logits, n*classes)
	for i := range n {
		if err := r.Run(ctx, picture(x, i), logits[i*classes:][:classes]); err != nil {
			return nil, err
		}
	}
	return logits, nil
}

// goldenRoom is how much farther off an INT8 file may be on another machine than it is here.
const goldenRoom = 1.5

// Allow raises the tolerance so that an INT8 file which answers got here holds, here and elsewhere.
func (g *Goldens) Allow(got vision.Logits) {
	if worst, largest := infer.Difference(g.Logits, got); largest > 0 && !math.IsInf(worst, 0) {
		g.Tolerance = min(1, max(g.Tolerance, goldenRoom*worst/largest))
	}
}

// Answers are the logits of n for the pictures of x, one after the other.
func Answers(ctx context.Context, n *infer.Network, x *vision.Tensor) (vision.Logits, error) {
	return runPairs(ctx, n.Engine, x, len(n.Bundle.Spec.Labels))
}

// picture is picture i of a batch, in place.
func picture(x *vision.Tensor, i int) *vision.Tensor {
	size := len(x.Data) / int(x.Shape[0])
	return &vision.Tensor{Shape: [4]int64{1, x.Shape[1], x.Shape[2], x.Shape[3]}, Data: x.Data[i*size:][:size]}
}

// Inputs are the pictures of the bundle's goldens; the logits beside them are another network's:
// fp32.
func Inputs(n *infer.ModelFile) (*vision.Tensor, error) {
	file, err := checkpoint.Open(n.Golden, "")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	input, size := file.Tensor("input"), int64(n.Size)
	if input == nil || len(input.Shape) != 4 || input.Shape[0] < 1 || input.Shape[1] != 3 || input.Shape[2] != size ||
		input.Shape[3] != size {
		return nil, fmt.Errorf("%s: it must hold pictures n×3×%d×%[2]d as the tensor input", n.Golden, size)
	}
	x := vision.NewTensor(int(input.Shape[0]), 3, n.Size, n.Size)
	return x, decode(input, x.Data)
}
