package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// suite is one run of all checks.
type suite struct {
	agent  *agent
	work   string // everything that is made goes here
	demo   string // bundle of the demo, calibrated where the archive has it so
	full   string // bundle of the full-size network; "": it is left out, or could not be made
	short  bool   // no full-size network, fewer frames
	log    io.Writer
	report *report

	pictures string           // folder
	absent   map[string]error // why a GPU provider cannot be used here; nil: it can

	refusedTensorRT error // in the agent's words
}

// absence is why a check could not run.
type absence string

func (a absence) Error() string { return string(a) }

// check is one line of the table: it returns what it measured, or an absence, or why it failed.
type check struct {
	part, name string
	run        func(context.Context, *suite) (found string, err error)
}

// run runs them in order. It ends early only with ctx.
func (s *suite) run(ctx context.Context, checks []check) {
	for _, c := range checks {
		begin := time.Now()
		found, err := c.run(ctx, s)
		r := result{Part: c.part, Check: c.name, State: passed, Found: found,
			Seconds: float64(time.Since(begin).Milliseconds()) / 1000}
		var a absence
		switch {
		case ctx.Err() != nil:
			r.State, r.Found = skipped, "it was stopped: "+context.Cause(ctx).Error()
		case errors.As(err, &a):
			r.State, r.Found = skipped, err.Error()
		case err != nil:
			r.State, r.Found = failed, err.Error()
		}
		s.report.Checks = append(s.report.Checks, r)
		fmt.Fprintf(s.log, "%-7s  %s: %s (%.1f s)\n", r.State, r.Check, r.Found, r.Seconds)
	}
}

// best is the provider that the checks of the daemon use: CUDA where it can be had.
func (s *suite) best() string {
	if s.absent["cuda"] == nil {
		return "cuda"
	}
	return "cpu"
}

// on says which provider a sentence is about.
func (s *suite) on() string {
	if p := s.best(); p != "cpu" {
		return "on " + p
	}
	return "on the cpu only"
}

// precisions are those of a bundle that the given provider has files for.
func precisions(bundleDir, provider string) ([]string, error) {
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return nil, err
	}
	keys := map[string]string{"fp32": bundle.FileFP32, "fp16": bundle.FileFP16, "int8": bundle.FileINT8TRT}
	if provider == "cpu" {
		keys = map[string]string{"fp32": bundle.FileFP32, "int8": bundle.FileINT8CPU}
	}
	var all []string
	for _, p := range []string{"fp32", "fp16", "int8"} {
		if _, ok := b.Spec.Files[keys[p]]; ok && keys[p] != "" {
			all = append(all, p)
		}
	}
	return all, nil
}

// asFP32 makes a bundle whose only file is the one that the given provider runs in a precision, so
// that the CPU runs that very file as it stands.
func (s *suite) asFP32(bundleDir, key string) (string, error) {
	b, err := bundle.Open(bundleDir)
	if err != nil {
		return "", err
	}
	file := b.Spec.Files[key]
	dir := filepath.Join(s.work, filepath.Base(bundleDir)+"-"+key)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := linkOrCopy(filepath.Join(bundleDir, file.Path), filepath.Join(dir, file.Path)); err != nil {
		return "", err
	}
	spec := b.Spec
	spec.Files = map[string]bundle.File{bundle.FileFP32: file}
	return dir, bundle.WriteSpec(dir, &spec)
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return atomicfile.WriteFile(to, func(w io.Writer) error {
		_, err := io.Copy(w, source)
		return err
	})
}
