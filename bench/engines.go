package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/vision"
)

const (
	engineTuning = 104 // pictures that INT8 is made with
	engineJudged = 39  // others, that all engines answer
)

// engine is one row: what runs the network, and in which file.
type engine struct {
	name, word string // in the table; and for engines.py or, of ours, provider and precision
	file       string // key of a file of the calibrated bundle; "": engines.py prepares one
	ours       bool
	half       bool // without integers: the row is beside FP32 and bfloat16, not INT8
}

var engines = []engine{
	{"ONNX Runtime, FP32", "ort", bundle.FileFP32, false, true},
	{"vggse-agent, FP32, CPU provider", "cpu fp32", "", true, true},
	{"vggse-agent, FP32, OpenVINO provider", "openvino fp32", "", true, true},
	{"vggse-agent, bfloat16, OpenVINO provider", "openvino bf16", "", true, true},
	{"OpenVINO, FP32", "openvino", bundle.FileFP32, false, true},
	{"OpenVINO, bfloat16", "openvino-bf16", bundle.FileFP32, false, true},
	{"ncnn, FP32", "ncnn", "", false, true},
	{"ncnn, bfloat16 storage", "ncnn-bf16", "", false, true},
	{"MNN, FP32", "mnn", "", false, true},
	{"MNN, low precision", "mnn-low", "", false, true},
	{"vggse-agent, INT8, CPU provider", "cpu int8", "", true, false},
	{"vggse-agent, INT8, OpenVINO provider", "openvino int8", "", true, false},
	{"OpenVINO, our `int8.cpu.onnx`", "openvino", bundle.FileINT8CPU, false, false},
	{"OpenVINO, our `int8.trt.onnx`", "openvino", bundle.FileINT8TRT, false, false},
	{"OpenVINO, NNCF's INT8", "nncf", "", false, false},
	{"ONNX Runtime, `quantize_static`", "ort-static", "", false, false},
}

// enginesReport lets every engine answer the same pictures with the same weights, in turn, each in
// a process of its own on one thread.
func (o *options) enginesReport(ctx context.Context, r *report) error {
	openVINO, err := o.openVINO(ctx)
	if err != nil {
		return err
	}
	for _, n := range []struct{ title, bundle, name string }{
		{"Demo network, 64×64, one thread", o.demo, "engines-demo"},
		{"Full-size network, random weights, 224×224, one thread", o.full, "engines-full"},
	} {
		if err := o.enginesOf(ctx, r, n.title, n.bundle, filepath.Join(o.scratch, n.name), openVINO); err != nil {
			return fmt.Errorf("%s: %w", n.title, err)
		}
	}
	return nil
}

// openVINO installs the wheel that 'make openvino' fetched, and returns its libonnxruntime.so.
func (o *options) openVINO(ctx context.Context) (string, error) {
	wheels, _ := filepath.Glob("build/onnxruntime/openvino/*.whl")
	if len(wheels) != 1 {
		return "", errors.New("build/onnxruntime/openvino has no wheel: 'make openvino' fetches it")
	}
	state, err := filepath.Abs(filepath.Join(o.scratch, "engines-state"))
	if err != nil {
		return "", err
	}
	out, err := o.verb(ctx, "runtime", "install", "--json", "--set", "state_dir="+state, wheels[0])
	if err != nil {
		return "", err
	}
	var line struct{ Path string }
	return line.Path, json.Unmarshal(out, &line)
}

// enginesOf measures all of them on one network; what was calibrated in dir is taken up again.
func (o *options) enginesOf(ctx context.Context, r *report, title, from, dir, openVINO string) error {
	tune, err := o.drawn(ctx, "engines-tune", engineTuning, 21)
	if err != nil {
		return err
	}
	held, err := o.drawn(ctx, "engines-held", engineJudged, 22)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, bundle.SpecFile)); err != nil {
		if _, err := o.calibrate(ctx, "--bundle", from, "--images", tune, "--out", dir, "--min-agreement",
			"0"); err != nil {
			return err
		}
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return err
	}
	aside := dir + "-files"
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	given, n, err := writeTensors(ctx, b, held, filepath.Join(aside, "held.f32"))
	if err != nil {
		return err
	}
	tuning, _, err := writeTensors(ctx, b, tune, filepath.Join(aside, "tune.f32"))
	if err != nil {
		return err
	}
	s := served{options: o, bundle: b, openVINO: openVINO, pictures: given, tuning: tuning, aside: aside}
	runs, err := s.race(ctx, n)
	if err != nil {
		return err
	}
	s.table(r, title, runs, n)
	return nil
}

// writeTensors writes the pictures of a folder as the network takes them, one after the other.
func writeTensors(ctx context.Context, b *bundle.Bundle, dir, path string) (string, int, error) {
	pictures, _, err := dataset.List(ctx, dir, b.Spec.Labels)
	if err != nil {
		return "", 0, err
	}
	size := b.Spec.Architecture.InputSize
	set := dataset.New(pictures, b.Spec.Preprocess, size, 0)
	f, err := os.Create(path)
	if err != nil {
		return "", 0, err
	}
	w, t := bufio.NewWriter(f), vision.NewTensor(1, 3, size, size)
	for i := range pictures {
		if err := set.Load(i, t); err != nil {
			return "", 0, errors.Join(err, f.Close())
		}
		if err := binary.Write(w, binary.LittleEndian, t.Data); err != nil {
			return "", 0, errors.Join(err, f.Close())
		}
	}
	return path, len(pictures), errors.Join(w.Flush(), f.Close())
}

// served is what the engines of one network have in common.
type served struct {
	*options
	bundle           *bundle.Bundle
	openVINO         string // its libonnxruntime.so
	pictures, tuning string // files of tensors
	aside            string // folder for the engines' own files
}

// run is what one engine answered.
type run struct {
	engine
	failed string // why there is nothing else
	load   float64
	peak   float64 // MB
	ms     []float64
	logits []vision.Logits

	in  io.WriteCloser
	out *json.Decoder
	end func() error
}

// race starts all engines, one after the other, and lets them answer each picture in turn, twice.
func (s *served) race(ctx context.Context, n int) ([]*run, error) {
	var runs []*run
	for _, e := range engines {
		r := &run{engine: e}
		runs = append(runs, r)
		if err := s.start(ctx, r); err != nil {
			r.failed = strings.ReplaceAll(err.Error(), "\n", " ")
			log.Printf("  %s: %v", e.name, err)
		}
	}
	for round := range 2 * n {
		for _, r := range runs {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if r.failed == "" {
				if err := r.answer(round%n, round < n); err != nil {
					r.failed = err.Error()
				}
			}
		}
	}
	for _, r := range runs {
		if r.failed != "" {
			continue
		}
		var last struct {
			Peak float64 `json:"peak_mb"`
		}
		if err := errors.Join(r.in.Close(), r.out.Decode(&last), r.end()); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		r.peak = last.Peak
	}
	return runs, nil
}

// start loads one engine in its process.
func (s *served) start(ctx context.Context, r *run) error {
	side := strconv.Itoa(s.bundle.Spec.Architecture.InputSize)
	var cmd *exec.Cmd
	if r.ours {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, self, append([]string{"answers", s.bundle.Dir, s.pictures, s.openVINO},
			strings.Fields(r.word)...)...)
	} else {
		file, err := s.fileFor(ctx, &r.engine, side)
		if err != nil {
			return err
		}
		cmd = exec.CommandContext(ctx, s.engines, "bench/peer/engines.py", "serve", r.word, file, s.pictures, side, "1")
	}
	var words strings.Builder
	cmd.Stderr = &words
	var err error
	if r.in, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.out, r.end = json.NewDecoder(out), cmd.Wait
	var loaded struct {
		Load float64 `json:"load_ms"`
	}
	if err := r.out.Decode(&loaded); err != nil {
		_ = cmd.Process.Kill()
		return errors.Join(errors.New(lastLine(words.String())), cmd.Wait())
	}
	r.load = loaded.Load
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// fileFor is the file that an engine runs: one of the bundle, or one that it made of FP32.
func (s *served) fileFor(ctx context.Context, e *engine, side string) (string, error) {
	if e.file != "" {
		return s.bundle.Path(e.file)
	}
	fp32, err := s.bundle.Path(bundle.FileFP32)
	if err != nil {
		return "", err
	}
	var words strings.Builder
	cmd := exec.CommandContext(ctx, s.engines, "bench/peer/engines.py", "prepare", e.word, fp32, s.tuning, side,
		s.aside)
	cmd.Stderr = &words
	out, err := cmd.Output()
	if err != nil {
		return "", errors.Join(errors.New(lastLine(words.String())), err)
	}
	return lastLine(string(out)), nil
}

// answer asks for one picture.
func (r *run) answer(picture int, keep bool) error {
	if _, err := fmt.Fprintln(r.in, picture); err != nil {
		return err
	}
	var a struct {
		MS     float64
		Logits vision.Logits
	}
	if err := r.out.Decode(&a); err != nil {
		return err
	}
	r.ms = append(r.ms, a.MS)
	if keep {
		r.logits = append(r.logits, a.Logits)
	}
	return nil
}

// table writes the rows; the first engine is the one that the others are held against.
func (s *served) table(r *report, title string, runs []*run, n int) {
	fmt.Fprintf(&r.text, "\n## %s\n\n%d pictures, answered twice. INT8 was made with %d others.\n\n"+
		"| engine | ms a picture | over ONNX Runtime FP32 | answers as FP32 | logit SQNR | load and first run | "+
		"peak |\n"+
		"|---|---|---|---|---|---|---|\n", title, n, engineTuning)
	reference := runs[0]
	for _, a := range runs {
		if a.failed != "" || reference.failed != "" {
			fmt.Fprintf(&r.text, "| %s | – | – | – | – | – | %s |\n", a.name, a.failed)
			continue
		}
		same, decibels := compareLogits(reference.logits, a.logits)
		fmt.Fprintf(&r.text, "| %s | %.2f | %s | %d of %d | %s | %.0f ms | %.0f MB |\n", a.name, median(a.ms),
			spread(ratios(reference.ms, a.ms)), same, n, decibels, a.load, a.peak)
		log.Printf("  %s: %.2f ms, %s", a.name, median(a.ms), decibels)
	}
}

// compareLogits counts equal best classes and sums up the logits' signal to noise.
func compareLogits(want, got []vision.Logits) (same int, decibels string) {
	var signal, noise float64
	for i, w := range want {
		if slices.Index(w, slices.Max(w)) == slices.Index(got[i], slices.Max(got[i])) {
			same++
		}
		for j, v := range w {
			d := float64(v) - float64(got[i][j])
			signal, noise = signal+float64(v)*float64(v), noise+d*d
		}
	}
	if noise == 0 {
		return same, "equal"
	}
	return same, fmt.Sprintf("%.1f dB", 10*math.Log10(signal/noise))
}
