// Command gpucheck runs the agent as its users do, on a machine with an NVIDIA GPU, and writes down
// what it proved: one JSON and one table. 'make gpu-check' packs it with the agent; README.md says
// how to use the archive.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gpu-check:", err)
	}
	stop()
	os.Exit(code)
}

// run returns the exit code: 0 where no check failed, 1 where one did, 2 for a mistake in the
// command line.
func run(ctx context.Context) (int, error) {
	var agentPath, demo, ort, out, work string
	var short bool
	flag.StringVar(&agentPath, "agent", "vggse-agent", "`FILE` of the agent")
	flag.StringVar(&demo, "demo", "demo/bundle", "`DIR` of the demo bundle")
	flag.StringVar(&ort, "ort", "",
		"`FILE` libonnxruntime.so, or the folder with it (default: $ORT_LIB, Python's onnxruntime, the system's)")
	flag.StringVar(&out, "out", ".", "`DIR` for gpu-check.json and gpu-check.md")
	flag.StringVar(&work, "work", "",
		"`DIR` for what is made on the way, 4 GB (default: a temporary one, removed in the end)")
	flag.BoolVar(&short, "short", false, "without the full-size network, and with fewer frames")
	limit := flag.Duration("limit", 20*time.Minute, "stop after this time; what was found until then is written")
	flag.Parse()
	if flag.NArg() > 0 {
		return 2, fmt.Errorf("it takes no arguments, got %q", flag.Args())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, errors.New("--limit is over"))
	defer cancel()
	if work == "" {
		var err error
		if work, err = os.MkdirTemp("", "gpu-check"); err != nil {
			return 1, err
		}
		defer os.RemoveAll(work)
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return 1, err
	}
	r, err := examine(ctx, agentPath, demo, ort, work, short)
	if err != nil {
		return 1, err
	}
	if err := write(r, out); err != nil {
		return 1, err
	}
	if r.count(failed) > 0 {
		return 1, fmt.Errorf("%d checks failed", r.count(failed))
	}
	return 0, nil
}

// examine runs all checks with the agent.
func examine(ctx context.Context, agentPath, demo, ort, work string, short bool) (*report, error) {
	m, err := look(ctx, ort)
	if err != nil {
		return nil, err
	}
	s := &suite{
		agent: newAgent(agentPath, work, m), work: work, demo: demo, short: short, log: os.Stderr,
		report: &report{Schema: "vggse.gpu-check/1", Time: time.Now().UTC().Truncate(time.Second)},
		absent: map[string]error{"cuda": absence("not tried"), "cpu": nil}, pictures: filepath.Join(work, "pictures"),
	}
	var v struct{ Version, Commit, OnnxRuntime string }
	if _, err := s.agent.ask(ctx, &v, "version"); err != nil {
		return nil, err
	}
	m.Agent, m.Version = v.Version+" "+v.Commit, v.OnnxRuntime
	s.report.Machine = *m
	if _, err := s.agent.run(ctx, "demo-data", "--out", s.pictures, "--n", "26", "--seed", "5"); err != nil {
		return nil, err
	}
	fmt.Fprintln(s.log, strings.Join(m.lines(), "\n"))
	s.probeTensorRT(ctx)
	for _, part := range [][]check{always, withTensorRT, withRTX} {
		s.run(ctx, part)
	}
	return s.report, nil
}

// write puts the two files into dir and the table on stdout.
func write(r *report, dir string) error {
	text, err := r.json()
	if err != nil {
		return err
	}
	fmt.Println(r.table())
	return errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "gpu-check.json"), text, 0o644),
		os.WriteFile(filepath.Join(dir, "gpu-check.md"), []byte(r.table()), 0o644))
}
