package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// withTensorRT are the checks that need libnvinfer. They are unproven until a machine that has it
// has run them.
var withTensorRT = []check{
	{"tensorrt", "TensorRT opens", tensorRTOpens},
	{"tensorrt", "engines are built, and every node is TensorRT's", func(ctx context.Context, s *suite) (string,
		error) {
		return s.placement(ctx, "tensorrt")
	}},
	{"tensorrt", "the second start finds the engine", engineFound},
	{"tensorrt", "a flipped byte in an engine is refused", engineFlipped},
	{"tensorrt", "parity with the CPU, demo network", func(ctx context.Context, s *suite) (string,
		error) {
		return s.parity(ctx, s.demo, "tensorrt")
	}},
	{"tensorrt", "parity with the CPU, full size", fullParityTensorRT},
	{"tensorrt", "speeds", func(ctx context.Context, s *suite) (string, error) { return s.speeds(ctx, "tensorrt") }},
}

// withRTX is one line that says why there is no more.
var withRTX = []check{{"rtx", "TensorRT for RTX, the plugin provider", func(context.Context, *suite) (string, error) {
	return "", absence("the agent has no way to it: docs/decisions/004 says why")
}}}

func tensorRTOpens(_ context.Context, s *suite) (string, error) {
	if s.refusedTensorRT != nil {
		return "", s.refusedTensorRT
	}
	return strings.Join(s.report.Machine.TensorRT, ", "), nil
}

// probeTensorRT decides before anything else whether TensorRT can be used: where it lies, it must
// open.
func (s *suite) probeTensorRT(ctx context.Context) {
	_, err := s.agent.run(ctx, "verify", s.demo, "--provider", "tensorrt", "--precision", "fp32")
	if err == nil {
		return
	}
	s.absent["tensorrt"], s.refusedTensorRT = absence("TensorRT does not open, see above"), err
	var refused *refusal
	if errors.As(err, &refused) && len(s.report.Machine.TensorRT) == 0 {
		s.refusedTensorRT = absence(err.Error())
	}
}

// built is what 'vggse-agent build' tells.
type built struct {
	Engine  string
	Seconds float64
	Bytes   int64
}

func (s *suite) build(ctx context.Context) (b built, said string, err error) {
	if err := s.absent["tensorrt"]; err != nil {
		return b, "", err
	}
	o, err := s.agent.ask(ctx, &b, "build", s.demo, "--provider", "tensorrt", "--precision", "fp32")
	if err != nil {
		return b, "", err
	}
	return b, o.stderr, nil
}

func engineFound(ctx context.Context, s *suite) (string, error) {
	first, _, err := s.build(ctx)
	if err != nil {
		return "", err
	}
	again, _, err := s.build(ctx)
	switch {
	case err != nil:
		return "", err
	case again.Seconds != 0 || again.Engine != first.Engine:
		return "", fmt.Errorf("it was built again, in %.1f s: %s", again.Seconds, again.Engine)
	}
	return fmt.Sprintf("%d bytes in %s, nothing was built", again.Bytes, filepath.Base(again.Engine)), nil
}

// engineFlipped: an engine is code, and one that was touched must not run.
func engineFlipped(ctx context.Context, s *suite) (string, error) {
	b, _, err := s.build(ctx)
	if err != nil {
		return "", err
	}
	engines, _ := filepath.Glob(filepath.Join(b.Engine, "*.engine"))
	if len(engines) == 0 {
		return "", fmt.Errorf("there is no engine in %s", b.Engine)
	}
	code, err := os.ReadFile(engines[0])
	if err != nil {
		return "", err
	}
	code[len(code)/2] ^= 1
	if err := os.WriteFile(engines[0], code, 0o600); err != nil {
		return "", err
	}
	again, said, err := s.build(ctx)
	switch {
	case err != nil:
		return "", err
	case again.Seconds == 0 || !strings.Contains(said, "changed or damaged"):
		return "", errors.New("the touched engine was used: " + said)
	}
	return fmt.Sprintf("refused and built anew in %.1f s: %s", again.Seconds,
		strings.ReplaceAll(strings.TrimSpace(said), "\n", "; ")), nil
}

func fullParityTensorRT(ctx context.Context, s *suite) (string, error) {
	if s.full == "" {
		return "", absence("there is no full-size network")
	}
	return s.parity(ctx, s.full, "tensorrt")
}
