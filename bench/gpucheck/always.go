package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// always are the checks that need no TensorRT. Those that CUDA is needed for say why they could not
// run.
var always = []check{
	{"always", "doctor", doctor},
	{"always", "runtime install", runtimeInstall},
	{"always", "CUDA opens", cudaOpens},
	{"always", "node placement on CUDA", func(ctx context.Context, s *suite) (string,
		error) {
		return s.placement(ctx, "cuda")
	}},
	{"always", "parity with the CPU, demo network", func(ctx context.Context, s *suite) (string,
		error) {
		return s.parity(ctx, s.demo, "cuda")
	}},
	{"always", "strict: TensorRT without its library", strictTensorRT},
	{"always", "strict: CUDA without a GPU", strictCUDA},
	{"always", "auto takes the best and says why not better", ladder},
	{"always", "two models of one shape", twins},
	{"always", "memory over a thousand frames", memory},
	{"always", "Ctrl-C in mid-run", interrupts},
	{"always", "full-size network made here", makeFull},
	{"always", "parity with the CPU, full size", fullParity},
	{"always", "speeds on CPU and CUDA", func(ctx context.Context, s *suite) (string,
		error) {
		return s.speeds(ctx, "cpu", "cuda")
	}},
}

// doctor is told with all that it finds; it passes where ONNX Runtime does.
func doctor(ctx context.Context, s *suite) (string, error) {
	o, err := s.agent.run(ctx, "doctor", "--json", "--set", "model.bundle="+s.demo)
	var refused *refusal
	if err != nil && !errors.As(err, &refused) { // exit code 1 where any check fails
		return "", err
	}
	var lines []string
	sound := false
	for line := range strings.Lines(o.stdout) {
		var f struct{ Check, Status, Found string }
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			return "", fmt.Errorf("doctor --json: %w: %q", err, line)
		}
		lines = append(lines, fmt.Sprintf("%s %s: %s", f.Status, f.Check, f.Found))
		sound = sound || strings.HasPrefix(f.Check, "onnxruntime") && f.Status == "ok"
	}
	found := strings.Join(lines, "; ")
	if !sound {
		return "", errors.New("ONNX Runtime is not sound: " + found)
	}
	return found, nil
}

// runtimeInstall puts the library that was found where the agent keeps its own, and uses it from
// there.
func runtimeInstall(ctx context.Context, s *suite) (string, error) {
	library := s.report.Machine.Library
	if library == "" {
		return "", absence("no ONNX Runtime was found or given: --ort FILE names one")
	}
	var i struct {
		Version            string
		Providers, Missing []string
	}
	if _, err := s.agent.ask(ctx, &i, "runtime", "install", filepath.Dir(library)); err != nil {
		return "", err
	}
	s.report.Machine.Version = i.Version
	found := "providers whose libraries are there: " + strings.Join(i.Providers, ", ")
	if len(i.Missing) > 0 {
		found += "; libraries they miss: " + strings.Join(i.Missing, ", ")
	}
	own := &agent{s.agent.path, slices.DeleteFunc(slices.Clone(s.agent.env),
		func(v string) bool { return strings.HasPrefix(v, "ORT_LIB=") })}
	if _, err := own.run(ctx, "verify", s.demo, "--provider", "cpu", "--precision", "fp32"); err != nil {
		return "", fmt.Errorf("installed, but not found: %w", err)
	}
	return found, nil
}

// cudaOpens decides whether the checks on CUDA can run: a machine with a GPU and a library for it
// must open.
func cudaOpens(ctx context.Context, s *suite) (string, error) {
	var v struct {
		Provider string
		MaxDiff  float64 `json:"max_abs_diff"`
	}
	o, err := s.agent.ask(ctx, &v, "verify", s.demo, "--provider", "cuda", "--precision", "fp32")
	if err == nil {
		s.absent["cuda"] = nil
		return fmt.Sprintf("first start %.1f s; the goldens are met to %.2g", o.took.Seconds(), v.MaxDiff), nil
	}
	s.absent["cuda"] = absence("CUDA does not open, see above")
	var refused *refusal
	provider := filepath.Join(filepath.Dir(s.report.Machine.Library), "libonnxruntime_providers_cuda.so")
	if _, statErr := os.Stat(provider); errors.As(err, &refused) && (s.report.Machine.GPU == "" || statErr != nil) {
		return "", absence(err.Error())
	}
	return "", err
}

// placement asks the profile of a real run which provider ran each node, in every precision.
func (s *suite) placement(ctx context.Context, provider string) (string, error) {
	if err := s.absent[provider]; err != nil {
		return "", err
	}
	all, err := precisions(s.demo, provider)
	if err != nil {
		return "", err
	}
	var found []string
	var wrong []error
	for _, precision := range all {
		var line struct {
			Nodes map[string]int
			OnCPU []string `json:"on_cpu"`
		}
		_, err := s.agent.ask(ctx, &line, "build", s.demo, "--provider", provider, "--precision", precision)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%s: %w", precision, err))
		case len(line.OnCPU) > 0 || line.Nodes[provider] == 0:
			wrong = append(wrong, fmt.Errorf("%s: nodes %v, left to the CPU: %s", precision, line.Nodes,
				strings.Join(line.OnCPU, ", ")))
		default:
			found = append(found, fmt.Sprintf("%s %v", precision, line.Nodes))
		}
	}
	if len(wrong) > 0 {
		return "", fmt.Errorf("%w (right: %s)", errors.Join(wrong...), strings.Join(found, "; "))
	}
	return "nodes by provider: " + strings.Join(found, "; "), nil
}

// strictTensorRT: asked for by name, a provider that cannot be used stops the start and says what
// is missing.
func strictTensorRT(ctx context.Context, s *suite) (string, error) {
	if len(s.report.Machine.TensorRT) > 0 {
		return "", absence("TensorRT is here: nothing to refuse")
	}
	words := []string{"libnvinfer"}
	if s.absent["cuda"] != nil { // then the build may lack it altogether, or CUDA's libraries be missed first
		words = append(words, "not enabled in this build", "is not on this machine", "providers_shared")
	}
	return s.refuses(ctx, s.agent, "tensorrt", words...)
}

// strictCUDA hides the GPU from the agent.
func strictCUDA(ctx context.Context, s *suite) (string, error) {
	blind := &agent{s.agent.path, append(slices.Clone(s.agent.env), "CUDA_VISIBLE_DEVICES=-1")}
	words := []string{"no CUDA-capable device"}
	if s.absent["cuda"] != nil {
		words = append(words, "not enabled in this build", "is not on this machine", "providers_shared", "driver")
	}
	return s.refuses(ctx, blind, "cuda", words...)
}

// refuses wants a refusal of the provider that has one of the words in it.
func (s *suite) refuses(ctx context.Context, a *agent, provider string, words ...string) (string, error) {
	_, err := a.run(ctx, "verify", s.demo, "--provider", provider, "--precision", "fp32")
	var refused *refusal
	switch {
	case err == nil:
		return "", fmt.Errorf("%s was asked for, cannot be used, and the agent ran all the same", provider)
	case !errors.As(err, &refused):
		return "", err
	case !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(refused.words, w) }):
		return "", fmt.Errorf("refused without naming the cause: %s", refused.words)
	}
	return fmt.Sprintf("exit %d: %s", refused.code, refused.words), nil
}

// ladder: left to itself the agent takes the best provider that opens, and names those above it
// with the reason.
func ladder(ctx context.Context, s *suite) (string, error) {
	var line struct{ Provider, Precision string }
	o, err := s.agent.ask(ctx, &line, "bench", s.demo, "--provider", "auto", "--seconds", "0.2")
	if err != nil {
		return "", err
	}
	for _, p := range []string{"tensorrt", "cuda", "cpu"} {
		if p == line.Provider {
			break
		}
		if !strings.Contains(o.stderr, "not on "+p+": ") {
			return "", fmt.Errorf("it runs on %s and does not say why not on %s", line.Provider, p)
		}
	}
	if want := s.best(); line.Provider != want && line.Provider != "tensorrt" {
		return "", fmt.Errorf("it runs on %s, and %s can be used", line.Provider, want)
	}
	why := strings.Join(strings.Split(strings.TrimSpace(o.stderr), "\n"), "; ")
	return fmt.Sprintf("%s on %s; %s", line.Precision, line.Provider, why), nil
}
