package quant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
)

// oldestOpset is the first whose Q and DQ have a scale for each channel.
const oldestOpset = 13

// rehearse makes every file with made-up ranges and lets ONNX Runtime load it, before any picture
// is worked on: a file that cannot be made is left out, with a finding. It says what will run on
// integers and how fast that is; where it is slower than FP32, there is only half precision.
func (c *calibration) rehearse(ctx context.Context) error {
	if c.source.network != nil {
		if err := c.proveRehearsal(ctx); err != nil {
			return err
		}
	}
	for _, f := range c.rehearsals() {
		if c.left[f.key] || f.key == bundle.FileINT8TRT11 && c.left[bundle.FileINT8TRT] {
			c.left[f.key] = true
			continue
		}
		if err := c.loads(ctx, f.make); err != nil {
			if err := c.unmade(ctx, f.key, f.name, err); err != nil {
				return err
			}
		}
	}
	if c.left[bundle.FileFP16] && len(c.levels()) == 0 {
		return fmt.Errorf("no file can be made of this network: %s", c.evidence())
	}
	return nil
}

// unmade leaves a file out that err says cannot be made. Where the work was ended, or a file could not be
// written, that is no fault of the network, and an error.
func (c *calibration) unmade(ctx context.Context, key, name string, err error) error {
	var disk *fs.PathError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &disk):
		return fmt.Errorf("%s: %w", name, disk)
	}
	c.leave(key, name, cause(err))
	return nil
}

// evidence is what was found so far, in a line.
func (c *calibration) evidence() string {
	var all []string
	for _, f := range c.report.Findings {
		all = append(all, f.Check+": "+f.Evidence)
	}
	return strings.Join(all, "; ")
}

// rehearsed is a file as rehearse tries it.
type rehearsed struct {
	key, name string
	make      func() (*onnx.Model, error)
}

// rehearsals are the files but the CPU's, which proveRehearsal tries.
func (c *calibration) rehearsals() []rehearsed {
	half := rehearsed{bundle.FileFP16, "fp16.onnx", func() (*onnx.Model, error) { return EmitFP16(c.source.model) }}
	if c.source.network == nil {
		return []rehearsed{half}
	}
	signed := c.madeUp(LevelsS8)
	return []rehearsed{
		{bundle.FileINT8TRT, "int8.trt.onnx", func() (*onnx.Model, error) {
			m, err := c.trtModel(&c.source, signed)
			if err == nil {
				m = Folded(m)
			}
			return m, err
		}},
		{bundle.FileINT8TRT11, "int8.trt11.onnx", func() (*onnx.Model, error) {
			m, err := c.trtModel(&c.source, signed)
			if err == nil {
				m, err = EmitFP16(m)
			}
			if err == nil {
				m = HalfTwin(m)
			}
			return m, err
		}},
		half,
	}
}

// madeUp is a plan with ranges that no picture gave.
func (c *calibration) madeUp(levels int) *Plan {
	p := &Plan{Method: MinMax, Levels: levels, Bits: Bits8, Picture: PictureRange(&c.bundle.Spec.Preprocess)}
	for _, s := range c.source.network.Sites[1:] {
		choice := Choice{Site: s.Name, Layer: s.Layer, Threshold: 1}
		if s.Signed {
			choice.Low, choice.High = -1, 1
		}
		p.Choices = append(p.Choices, choice)
	}
	if levels == LevelsU8 {
		p.Float = c.float
	}
	return p
}

// cureSpeed is what to do where integers are slower.
const cureSpeed = "only fp16.onnx is made; --seconds 0 makes the others, too, for a machine that is better at integers"

// withoutIntegers leaves all files in 8 bits out.
func (c *calibration) withoutIntegers(check, why, cure string) {
	for _, key := range []string{bundle.FileINT8CPU, bundle.FileINT8TRT, bundle.FileINT8TRT11} {
		c.left[key] = true
	}
	c.progress.Say("%s: %s (%s)", check, why, cure)
	c.found(dataset.Finding{Check: check, Severity: "warn", Evidence: why, Cure: cure})
}

// leave notes that a file is not made.
func (c *calibration) leave(key, name, why string) {
	c.left[key] = true
	c.found(dataset.Finding{Check: name, Severity: "warn", Evidence: "it cannot be made of this network: " + why,
		Cure: "the other files are made without it"})
}

// trtModel is the file for TensorRT of a plan, seen to be in its rules.
func (c *calibration) trtModel(s *subject, p *Plan) (*onnx.Model, error) {
	m, err := EmitTRT(s.model, s.network, p)
	if err == nil {
		if err = Lint(m); err != nil {
			err = fmt.Errorf("it breaks TensorRT's rules: %w", err)
		}
	}
	return m, err
}

// rehearsal is where a file lies while it is tried.
const rehearsal = "trial.onnx"

func (c *calibration) loads(ctx context.Context, make func() (*onnx.Model, error)) error {
	defer os.Remove(c.path(rehearsal))
	m, err := make()
	if err != nil {
		return err
	}
	err = atomicfile.WriteScratch(c.path(rehearsal), func(w io.Writer) error { return onnx.Write(w, m) })
	if err != nil {
		return err
	}
	s, err := c.prober.Open(ctx, c.path(rehearsal), infer.ProbeOptions{Outputs: []string{c.bundle.Spec.Output.Name},
		Plain: true})
	if err != nil {
		return err
	}
	return s.Close()
}

var (
	failedPath = regexp.MustCompile(`(?s)^.*(?:failed: ?|Error creating C session from file: )`)
	madePath   = regexp.MustCompile(`\S*/trial\.onnx\S* ?`)
)

// cause is the part of an error of the runtime that speaks of the network.
func cause(err error) string {
	text := strings.TrimSpace(madePath.ReplaceAllString(failedPath.ReplaceAllString(err.Error(), ""), ""))
	return strings.TrimPrefix(text, "quant: ")
}

// levels are the kinds of codes that files are made for.
func (c *calibration) levels() []int {
	return slices.DeleteFunc(slices.Clone(levelsOf), func(l int) bool {
		return c.left[map[int]string{LevelsU8: bundle.FileINT8CPU, LevelsS8: bundle.FileINT8TRT}[l]]
	})
}
