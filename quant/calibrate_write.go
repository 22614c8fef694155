package quant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
)

// emitted is a file that is ready to be written.
type emitted struct {
	key, name string
	m         *onnx.Model
	plan      *Plan // nil: nothing is in 8 bits
}

// models makes what the files hold. What cannot be made is left out, with a finding; not the CPU's
// file.
func (c *calibration) models(ctx context.Context) ([]emitted, error) {
	var files []emitted
	if p := c.plans[LevelsU8]; p != nil {
		cpu, err := EmitCPU(c.chosen.model, c.chosen.network, p)
		if err != nil {
			return nil, err
		}
		files = append(files, emitted{bundle.FileINT8CPU, "int8.cpu.onnx", cpu, p})
	}
	signed := c.plans[LevelsS8]
	if signed != nil {
		trt, err := c.trtModel(&c.chosen, signed)
		if err != nil {
			c.leave(bundle.FileINT8TRT, "int8.trt.onnx", cause(err))
		} else {
			files = append(files, emitted{bundle.FileINT8TRT, "int8.trt.onnx", trt, signed})
		}
	}
	out, err := c.leavesHalf(ctx)
	if err != nil {
		return nil, err
	}
	if out != "" {
		c.found(dataset.Finding{Check: "half precision", Severity: "warn",
			Evidence: out, Cure: "this bundle has no FP16 files"})
		return files, nil
	}
	for _, f := range []struct {
		key, name string
		make      func() (*onnx.Model, *Plan, error)
	}{
		{bundle.FileFP16, "fp16.onnx", func() (*onnx.Model, *Plan, error) {
			m, err := EmitFP16(c.source.model)
			return m, nil, err
		}},
		{bundle.FileINT8TRT11, "int8.trt11.onnx", func() (*onnx.Model, *Plan, error) { return c.strictModel(signed) }},
	} {
		if c.left[f.key] || f.key == bundle.FileINT8TRT11 && signed == nil {
			continue
		}
		m, plan, err := f.make()
		if err != nil {
			c.leave(f.key, f.name, cause(err))
			continue
		}
		files = append(files, emitted{f.key, f.name, m, plan})
	}
	return files, nil
}

// strictModel is the file for TensorRT 11, whose numbers in between are in half precision.
func (c *calibration) strictModel(signed *Plan) (*onnx.Model, *Plan, error) {
	plan, err := signed.strict(c.chosen.network)
	if err != nil {
		return nil, nil, err
	}
	if plan.integers(c.chosen.network) == 0 {
		return nil, nil, errors.New("no layer has scales that half precision holds")
	}
	if kept := plan.Float[len(signed.Float):]; len(kept) > 0 {
		c.found(dataset.Finding{Check: "int8.trt11.onnx", Severity: "warn",
			Evidence: fmt.Sprintf("half precision does not hold the scales of %s", strings.Join(kept, ", ")),
			Cure:     "they are in float16 in this file"})
	}
	m, err := c.trtModel(&c.chosen, plan)
	if err == nil {
		m, err = EmitFP16(m)
	}
	return m, plan, err
}

// emit writes the files.
func (c *calibration) emit(ctx context.Context) error {
	files, err := c.models(ctx)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file can be made of this network: %s", c.evidence())
	}
	total := int64(0)
	for _, f := range files {
		c.sign(f.m, f.plan)
		f.m.Expose(c.bundle.Spec.Output.Name, signalsFor(f.key))
		total += onnx.Size(f.m)
	}
	bar := c.progress.StartBytes("writing models", total)
	for _, f := range files {
		out, err := bundle.WriteFile(ctx, c.dir, f.name, bar, func(w io.Writer) error { return onnx.Write(w, f.m) })
		if err != nil {
			return err
		}
		if err := c.lessMemory(); err != nil {
			return err
		}
		c.report.Files = append(c.report.Files, FileReport{Key: f.key, Path: out.Path, SHA256: out.SHA256,
			Bytes: out.Bytes, Share: float64(out.Bytes) / float64(onnx.Size(c.source.model))})
	}
	bar.Done()
	return c.tables()
}

// signalsFor are the signals that a file exposes. What outputs in the middle of a network cost on
// TensorRT, which fuses across them, is not measured: its own files have the features only.
func signalsFor(key string) onnx.Signals {
	switch {
	case bundle.OnlyTensorRT(key):
		return onnx.FeaturesOnly
	case key == bundle.FileINT8CPU:
		return onnx.AllInPlace
	}
	return onnx.AllSignals
}

// expose writes the FP32 file anew, once, where it has no signals yet: the same network, with the
// same answers. One with weights in other files, or that our own reader does not understand, stays
// as it is.
func (c *calibration) expose(ctx context.Context) error {
	path, err := c.bundle.Path(bundle.FileFP32)
	if err != nil || c.fp32 != nil {
		return err
	}
	if beside, err := onnx.ExternalFiles(path); err != nil || len(beside) > 0 {
		return nil
	}
	m, err := onnx.Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	before := len(m.Graph.Outputs)
	if m.Expose(c.bundle.Spec.Output.Name, onnx.AllSignals); len(m.Graph.Outputs) == before {
		return nil
	}
	f, err := bundle.WriteFile(ctx, c.dir, filepath.Base(path), io.Discard, func(w io.Writer) error {
		return onnx.Write(w, m)
	})
	c.fp32 = &f
	return err
}

// tables writes the two tables for TensorRT up to 10. They belong to fp32.onnx, so they have its
// ranges, not those of an equalized network.
func (c *calibration) tables() error {
	if c.legacy == nil {
		return nil
	}
	var text, flat bytes.Buffer
	err := WriteTextTable(&text, c.chosen.network, c.legacy, c.TensorRT)
	switch {
	case errors.Is(err, ErrNoTables):
		c.found(dataset.Finding{Check: "calibration tables", Severity: "warn",
			Evidence: strings.TrimPrefix(err.Error(), "quant: table: "), Cure: "there are no tables in this bundle"})
		return nil
	case errors.Is(err, ErrNoTextTable):
		c.found(dataset.Finding{Check: "calibration.txt", Severity: "warn",
			Evidence: strings.TrimPrefix(err.Error(), "quant: table: "),
			Cure:     "there is no such file; calibration.flatbuffers holds the same ranges"})
		text.Reset()
	case err != nil:
		return err
	}
	if err := WriteFlatTable(&flat, c.chosen.network, c.legacy); err != nil {
		return err
	}
	for name, table := range map[string]*bytes.Buffer{"calibration.flatbuffers": &flat, "calibration.txt": &text} {
		if table.Len() == 0 {
			continue
		}
		if err := atomicfile.WriteFile(c.path(name),
			func(w io.Writer) error { _, err := table.WriteTo(w); return err }); err != nil {
			return err
		}
	}
	return nil
}

// sign writes into a file what it was made of and how.
func (c *calibration) sign(m *onnx.Model, p *Plan) {
	m.SetProperty("vggse.source_sha256", c.report.Source)
	if p == nil {
		return
	}
	m.SetProperty("vggse.pictures_sha256", c.report.Pictures.SHA256)
	m.SetProperty("vggse.pictures", fmt.Sprint(c.report.Pictures.Calibration))
	m.SetProperty("vggse.method", string(p.Method))
	m.SetProperty("vggse.weight_bits", string(p.Bits))
	m.SetProperty("vggse.plan", p.Summary(c.equalized()))
}

// deliver makes --out the bundle that lies aside; where the gate was missed, it only gets the
// reports.
func (c *calibration) deliver(ctx context.Context) error {
	if err := writeReports(c.dir, &c.report); err != nil {
		return err
	}
	if len(c.report.Gate.Missed) > 0 {
		if err := os.MkdirAll(c.Out, 0o755); err != nil {
			return err
		}
		return writeReports(c.Out, &c.report)
	}
	if err := os.RemoveAll(c.path("frames")); err != nil {
		return err
	}
	if err := c.complete(ctx); err != nil {
		return err
	}
	return atomicfile.ReplaceDir(c.dir, c.Out)
}

// complete makes the folder aside a bundle: the input's files beside the new ones, and a manifest
// of all.
func (c *calibration) complete(ctx context.Context) error {
	spec := c.bundle.Spec
	spec.Files = maps.Clone(spec.Files)
	// old tables stay behind
	made := map[string]bool{bundle.SpecFile: true, "calibration.flatbuffers": true, "calibration.txt": true}
	for _, name := range bundle.Extras() { // a statement is about the input alone
		made[name] = true
	}
	if err := c.expose(ctx); err != nil {
		return err
	}
	if c.fp32 != nil {
		spec.Files[bundle.FileFP32] = *c.fp32
		made[c.fp32.Path], made[c.bundle.Spec.Files[bundle.FileFP32].Path] = true, true
	}
	if c.known != nil {
		spec.Files[bundle.FileKnown] = *c.known
		made[c.known.Path] = true
	}
	if c.stored != nil {
		spec.Files[bundle.FileReference] = *c.stored
		made[c.stored.Path] = true
	}
	for _, f := range c.report.Files {
		spec.Files[f.Key] = bundle.File{Path: f.Path, SHA256: f.SHA256, Bytes: f.Bytes}
		made[f.Path] = true
	}
	if c.goldens != nil {
		spec.Files[bundle.FileGoldens8] = *c.goldens
		made[c.goldens.Path] = true
	}
	for key, f := range c.bundle.Spec.Files { // of an earlier calibration, under whatever name
		if strings.HasPrefix(key, "int8.") || key == bundle.FileFP16 || key == bundle.FileGoldens8 {
			if spec.Files[key] == f && !made[f.Path] {
				delete(spec.Files, key) // no longer made
			}
			made[f.Path] = true
		}
	}
	err := filepath.WalkDir(c.bundle.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.bundle.Dir, path)
		if err != nil || made[rel] {
			return err
		}
		if _, err := os.Lstat(c.path(rel)); err == nil {
			return nil // the new report
		}
		return atomicfile.LinkOrCopy(path, c.path(rel))
	})
	if err != nil {
		return err
	}
	return bundle.WriteSpec(c.dir, &spec)
}

// writeReports writes report.json, report.html and plan.json.
func writeReports(dir string, r *Report) error {
	var plan error
	if r.Plan != nil {
		plan = atomicfile.WriteJSON(filepath.Join(dir, "plan.json"), r.Plan)
	}
	return errors.Join(plan,
		atomicfile.WriteJSON(filepath.Join(dir, "report.json"), r),
		atomicfile.WriteFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return WriteHTML(w, r) }))
}
