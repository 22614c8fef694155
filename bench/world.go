package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
)

// What is asked of INT8 on networks of all kinds: faster than FP32 on the CPU at worldSQNR.
const (
	worldPictures = 104 // as many as calibrate asks for: of 24 the ranges are chance
	worldSQNR     = 25
	worldBudget   = "26dB" // worldSQNR, and what so few pictures may hide
	worldNetworks = 30
	worldExports  = 38
)

// worldReport imports and calibrates every .onnx file of the folder models, as world/exports.py
// makes them. What was calibrated is kept in the scratch folder, and taken up again from there.
func (o *options) worldReport(ctx context.Context, r *report) error {
	files, err := filepath.Glob(filepath.Join(o.models, "*.onnx"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no .onnx file in %s: bench/world/exports.py makes some", o.models)
	}
	if err != nil {
		return err
	}
	pictures, err := o.drawn(ctx, "world-pictures", worldPictures, 5)
	if err != nil {
		return err
	}
	fmt.Fprintf(&r.text, "\n## %d networks, random weights, calibrated on %d pictures, CPU provider, one thread\n\n"+
		"| network | on integers | logit SQNR | INT8 over FP32 (99 %%) | |\n|---|---|---|---|---|\n", len(files),
		worldPictures)
	good := 0
	for _, file := range files {
		c, err := o.calibratedWorld(ctx, file, pictures)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		if err != nil {
			fmt.Fprintf(&r.text, "| %s | | | | **%s** |\n", name, strings.ReplaceAll(err.Error(), "\n", " "))
			log.Printf("  %s: %v", name, err)
			continue
		}
		row, ok := worldRow(c)
		fmt.Fprintf(&r.text, "| %s | %s |\n", name, row)
		log.Printf("  %s: %s", name, row)
		if ok {
			good++
		}
	}
	r.section("All of them")
	what := fmt.Sprintf("faster than FP32 at ≥ %d dB, of %d", worldSQNR, len(files))
	if len(files) < worldExports { // a part of them
		r.fact(what, fmt.Sprint(good))
		return nil
	}
	r.atLeast(what, float64(good), worldNetworks, fmt.Sprint(good))
	return nil
}

// worldRow is what came out for a network, and whether that is what is asked for.
func worldRow(c *quant.Report) (row string, ok bool) {
	for _, f := range c.Files {
		if f.Key != bundle.FileINT8CPU || f.Latency == nil || f.Proof == nil {
			continue
		}
		ok := f.Latency.Faster() && f.Verdict.SQNR >= worldSQNR
		return fmt.Sprintf("%d convolutions, %d fully connected | %.1f dB | %.2f× (%.2f–%.2f) | %s",
			f.Proof.Convolutions,
			f.Proof.Dense, f.Verdict.SQNR, f.Latency.Speedup, f.Latency.SpeedupLow, f.Latency.SpeedupHigh,
			verdict(ok)), ok
	}
	for _, f := range c.Findings {
		if f.Check == "speed" || f.Check == "8 bits" {
			return "none | – | – | only FP16: " + f.Evidence, false
		}
	}
	return "none | – | – | " + strings.Join(c.Gate.Missed, "; "), false
}

// calibratedWorld is the report of one network's calibration: kept, or made now.
func (o *options) calibratedWorld(ctx context.Context, file, pictures string) (*quant.Report, error) {
	name := strings.TrimSuffix(filepath.Base(file), ".onnx")
	dir := filepath.Join(o.scratch, "world")
	kept := filepath.Join(dir, name+".json")
	text, err := os.ReadFile(kept)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = o.calibrateWorld(ctx, file, filepath.Join(dir, name), pictures); err == nil {
			err = os.WriteFile(kept, text, 0o644)
		}
	}
	if err != nil {
		return nil, err
	}
	var c quant.Report
	return &c, json.Unmarshal(text, &c)
}

// calibrateWorld imports a file into a bundle beside dir and calibrates it into dir.
func (o *options) calibrateWorld(ctx context.Context, file, dir, pictures string) ([]byte, error) {
	labels, err := worldLabels(file, dir)
	if err != nil {
		return nil, err
	}
	imported := dir + ".imported"
	if err := errors.Join(os.RemoveAll(imported), os.RemoveAll(dir)); err != nil {
		return nil, err
	}
	if _, err := o.verb(ctx, "import", file, "--labels", labels, "--out", imported, "--preprocess", "resize=squash,"+
		"filter=pil-bilinear,channels=rgb,scale=1/255,mean=0.485,0.456,0.406,std=0.229,0.224,0.225"); err != nil {
		return nil, err
	}
	text, err := o.verb(ctx, "calibrate", "--json", "--bundle", imported, "--images", pictures, "--out", dir,
		"--workers",
		"2", "--budget", worldBudget, "--method", "minmax")
	return text, errors.Join(err, os.RemoveAll(imported), os.RemoveAll(dir))
}

// verb runs a verb of the agent; an answer with a missed gate is one, too.
func (o *options) verb(ctx context.Context, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, o.agent, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && !json.Valid(stdout.Bytes()) {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		return nil, fmt.Errorf("%s: %w: %s", args[0], err, lines[len(lines)-1])
	}
	return stdout.Bytes(), nil
}

// worldLabels writes as many labels as the network has scores.
func worldLabels(file, dir string) (string, error) {
	m, err := onnx.Open(file)
	if err != nil {
		return "", err
	}
	defer m.Close()
	shape := m.Graph.Outputs[0].Shape
	if len(shape) == 0 || shape[len(shape)-1].Size < 1 {
		return "", errors.New("it does not say how many scores it has")
	}
	var text strings.Builder
	for i := range shape[len(shape)-1].Size {
		fmt.Fprintf(&text, "class-%d\n", i)
	}
	path := dir + ".labels.txt"
	return path, errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.WriteFile(path, []byte(text.String()), 0o644))
}
