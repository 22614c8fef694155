package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vision"
)

// explainPictures are how many pictures the layers are compared on.
const explainPictures = 16

// judgeFile compares the answers of a file with those of FP32 on a set of pictures. A file for a GPU is run
// plainly, operator by operator as it says: what the CPU provider would fuse there is not what a GPU does.
func (c *calibration) judgeFile(ctx context.Context, file string, plain bool, set *pictureSet, count func()) (v quant.Verdict, err error) {
	if err := c.ask(ctx, set); err != nil {
		return v, err
	}
	s, err := c.rt.Open(ctx, file, quant.Options{Outputs: []string{c.bundle.Spec.Output.Name}, Plain: plain})
	if err != nil {
		return v, err
	}
	defer s.Close()
	set.rewind()
	return set.judge.Run(ctx, s, c.workers, c.size(), set.labelled(count))
}

// ask lets FP32 answer for the pictures of a set that it has not answered for.
func (c *calibration) ask(ctx context.Context, set *pictureSet) error {
	unknown := 0
	for i := range set.files {
		if !set.judge.Knows(i) {
			unknown++
		}
	}
	if err := c.lessMemory(); err != nil || unknown == 0 {
		return err
	}
	reference, err := c.reference(ctx)
	if err != nil {
		return err
	}
	defer reference.Close()
	bar := progress.New(c.cmd.ErrOrStderr(), "asking FP32", int64(len(set.files)), false)
	set.rewind()
	if err := set.judge.Ask(ctx, reference, c.workers, c.size(), set.labelled(func() { _ = bar.Add(1) })); err != nil {
		return err
	}
	return bar.Finish()
}

// emit writes the files.
func (c *calibration) emit(ctx context.Context) error {
	cpu, err := quant.EmitCPU(c.quantized, c.network, c.plans[quant.LevelsU8])
	if err != nil {
		return err
	}
	trt, err := quant.EmitTRT(c.quantized, c.network, c.plans[quant.LevelsS8])
	if err != nil {
		return err
	}
	if err := quant.Lint(trt); err != nil {
		return fmt.Errorf("the file for TensorRT breaks its rules: %w", err)
	}
	type emitted struct {
		key, name string
		m         *onnx.Model
		plan      *quant.Plan // nil: nothing is in 8 bits
	}
	unsigned, signed := c.plans[quant.LevelsU8], c.plans[quant.LevelsS8]
	files := []emitted{{bundle.FileINT8CPU, "int8.cpu.onnx", cpu, unsigned}, {bundle.FileINT8TRT, "int8.trt.onnx", trt, signed}}
	half, err := quant.EmitFP16(c.source)
	if err != nil {
		c.report.Findings = append(c.report.Findings, quant.Finding{Check: "half precision", Severity: "warn",
			Evidence: err.Error(), Cure: "this bundle has no FP16 files"})
	} else {
		trt11, err := quant.EmitFP16(trt)
		if err != nil {
			return err
		}
		files = append(files, emitted{bundle.FileFP16, "fp16.onnx", half, nil}, emitted{bundle.FileINT8TRT11, "int8.trt11.onnx", trt11, signed})
	}
	total := int64(0)
	for _, f := range files {
		c.sign(f.m, f.plan)
		total += onnx.Size(f.m)
	}
	bar := progress.New(c.cmd.ErrOrStderr(), "writing models", total, true)
	for _, f := range files {
		out, err := bundle.WriteFile(ctx, c.dir, f.name, bar, func(w io.Writer) error { return onnx.Write(w, f.m) })
		if err != nil {
			return err
		}
		if err := c.lessMemory(); err != nil {
			return err
		}
		c.report.Files = append(c.report.Files, quant.FileReport{Key: f.key, Path: out.Path, SHA256: out.SHA256,
			Bytes: out.Bytes, Share: float64(out.Bytes) / float64(onnx.Size(c.source))})
	}
	_ = bar.Finish()
	return c.tables()
}

// tables writes the two tables for TensorRT up to 10. They belong to fp32.onnx, so they have its ranges, not those
// of an equalized network.
func (c *calibration) tables() error {
	var text, flat bytes.Buffer
	err := quant.WriteTextTable(&text, c.network, c.legacy, c.tensorRT)
	switch {
	case errors.Is(err, quant.ErrNoTables):
		c.report.Findings = append(c.report.Findings, quant.Finding{Check: "calibration tables", Severity: "warn", Evidence: strings.TrimPrefix(err.Error(), "quant: table: "), Cure: "there are no tables in this bundle"})
		return nil
	case errors.Is(err, quant.ErrNoTextTable):
		c.report.Findings = append(c.report.Findings, quant.Finding{Check: "calibration.txt", Severity: "warn",
			Evidence: strings.TrimPrefix(err.Error(), "quant: table: "), Cure: "there is no such file; calibration.flatbuffers holds the same ranges"})
		text.Reset()
	case err != nil:
		return err
	}
	if err := quant.WriteFlatTable(&flat, c.network, c.legacy); err != nil {
		return err
	}
	for name, table := range map[string]*bytes.Buffer{"calibration.flatbuffers": &flat, "calibration.txt": &text} {
		if table.Len() == 0 {
			continue
		}
		if err := atomicfile.WriteFile(c.path(name), func(w io.Writer) error { _, err := table.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	return nil
}

// sign writes into a file what it was made of and how.
func (c *calibration) sign(m *onnx.Model, p *quant.Plan) {
	m.SetProperty("vggse.source_sha256", c.report.Source)
	if p == nil {
		return
	}
	m.SetProperty("vggse.pictures_sha256", c.report.Pictures.SHA256)
	m.SetProperty("vggse.pictures", fmt.Sprint(c.report.Pictures.Calibration))
	m.SetProperty("vggse.method", string(p.Method))
	m.SetProperty("vggse.weight_bits", string(p.Bits))
	m.SetProperty("vggse.plan", p.Summary(c.quantized != c.source))
}

// judge proves, judges and measures every file, and holds the result against the gate.
func (c *calibration) judge(ctx context.Context) error {
	bar := progress.New(c.cmd.ErrOrStderr(), "judging", int64(len(c.held.files)*len(c.report.Files)), false)
	for i := range c.report.Files {
		f := &c.report.Files[i]
		file, err := c.judged(f)
		if err != nil {
			return err
		}
		v, err := c.judgeFile(ctx, file, f.Key != bundle.FileINT8CPU, c.held, func() { _ = bar.Add(1) })
		if err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		for i := range v.Classes {
			v.Classes[i].Label = c.bundle.Spec.Labels[v.Classes[i].Class]
		}
		for i := range v.Moves {
			v.Moves[i].Labels = c.named(v.Moves[i].From) + " → " + c.named(v.Moves[i].To)
		}
		f.Verdict = &v
		if f.Key != bundle.FileINT8CPU {
			f.Notes = append(f.Notes, "judged on the CPU provider; not measured: this file is for a GPU")
		}
	}
	_ = bar.Finish()
	if err := os.Remove(c.path("twin.onnx")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, layer := range quant.CarefulHalf(c.network, c.collected) {
		c.report.Findings = append(c.report.Findings, quant.Finding{Check: "half precision", Severity: "warn",
			Evidence: layer + " puts out more than 512", Cure: "compare fp16.onnx with fp32.onnx on the GPU before using it"})
	}
	return c.measure(ctx, &c.report.Files[0])
}

// named is the label of a class.
func (c *calibration) named(class int) string {
	if class < 0 {
		return "no number"
	}
	return c.bundle.Spec.Labels[class]
}

// judged is the file to run for judging f: f itself, or for the INT8 files for TensorRT a twin, that is removed with the folder
// aside.
func (c *calibration) judged(f *quant.FileReport) (string, error) {
	twinOf := map[string]func(*onnx.Model) *onnx.Model{bundle.FileINT8TRT: quant.Folded, bundle.FileINT8TRT11: quant.HalfTwin}[f.Key]
	if twinOf == nil {
		return c.path(f.Path), nil
	}
	m, err := onnx.Open(c.path(f.Path))
	if err != nil {
		return "", err
	}
	defer m.Close()
	if f.Key == bundle.FileINT8TRT11 {
		f.Notes = append(f.Notes, "judged with Q in float32: ONNX Runtime's own for half precision rounds towards zero")
	}
	twin := c.path("twin.onnx")
	return twin, atomicfile.WriteFile(twin, func(w io.Writer) error { return onnx.Write(w, twinOf(m)) })
}

// measure proves that the CPU file runs on integers and measures whether that pays.
func (c *calibration) measure(ctx context.Context, f *quant.FileReport) error {
	proof, err := quant.Prove(ctx, c.rt, c.path(f.Path), c.network, c.report.Plan)
	if err != nil {
		return err
	}
	if err := c.lessMemory(); err != nil {
		return err
	}
	reference, err := c.reference(ctx) // the larger one first: loading takes more than running
	if err != nil {
		return err
	}
	defer reference.Close()
	s, err := c.rt.Open(ctx, c.path(f.Path), quant.Options{Outputs: []string{c.bundle.Spec.Output.Name}})
	if err != nil {
		return err
	}
	defer s.Close()
	t := vision.NewTensor(1, 3, c.size(), c.size())
	c.held.rewind()
	if _, _, err := c.held.take(t, nil); err != nil {
		return err
	}
	latency, err := quant.Race(ctx, reference, s, t, time.Duration(c.seconds*float64(time.Second)))
	if err != nil {
		return err
	}
	f.Proof, f.Latency, f.Optimized = &proof, &latency, proof.Fused() && !latency.Slower()
	miss := func(format string, args ...any) {
		c.report.Gate.Missed = append(c.report.Gate.Missed, fmt.Sprintf(format, args...))
	}
	if !proof.Fused() {
		miss("only %d of %d convolutions and %d of %d fully connected layers run on integers", proof.Convolutions, proof.WantConv, proof.Dense, proof.WantDense)
	}
	if latency.Slower() {
		miss("INT8 takes %.2f ms, FP32 %.2f ms: it is not optimized", latency.Here, latency.FP32)
	}
	for _, f := range c.report.Files {
		v := f.Verdict
		evidence := fmt.Sprintf("%s agrees with FP32 on %.2f %% of %d pictures (%.2f to %.2f %%), %.2f %% are wanted", f.Path,
			100*v.Agreement.Value, v.Images, 100*v.Agreement.Low, 100*v.Agreement.High, 100*c.minAgreement)
		switch {
		case v.Agreement.High < c.minAgreement:
			miss("%s", evidence)
		case v.Agreement.Value < c.minAgreement: // so few pictures cannot tell: neither way
			c.report.Findings = append(c.report.Findings, quant.Finding{Check: "agreement", Severity: "warn", Evidence: evidence + ": so few cannot tell",
				Cure: "judge on more pictures: --eval"})
		}
	}
	return nil
}

// explain compares every layer of the CPU file with FP32, and draws.
func (c *calibration) explain(ctx context.Context) error {
	layers, err := quant.CompareLayers(ctx, c.rt, c.quantized, c.network, c.plans[quant.LevelsU8], c.dir, c.size(),
		func(ctx context.Context, t *vision.Tensor) error {
			_, _, err := c.held.take(t, nil)
			return err
		}, func() { c.held = c.held.part(explainPictures); c.held.rewind() })
	if err != nil {
		return err
	}
	c.report.Layers, c.report.Map = layers, quant.Precisions(c.network, c.report.Plan, c.report.Signed)
	c.report.Curves = quant.Curves(c.collected, c.report.Plan.Choices)
	worst := slices.Clone(layers)
	slices.SortFunc(worst, func(a, b quant.LayerReport) int { return int(math.Copysign(1, a.SQNR-b.SQNR)) })
	for _, l := range worst[:min(3, len(worst))] {
		c.report.Gate.Worst = append(c.report.Gate.Worst, fmt.Sprintf("%s (%.1f dB)", l.Layer, l.SQNR))
	}
	return nil
}

// fanOut runs work on n goroutines and waits for all; the first error ends the others.
func fanOut(ctx context.Context, n int, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			if err := work(ctx); err != nil {
				cancel(err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}
