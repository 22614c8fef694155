package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// agent is the program under test, run as its users run it.
type agent struct {
	path string
	env  []string
}

// newAgent gives the agent a state and a cache of its own under work, the library and the folders
// that were found.
func newAgent(path, work string, m *machine) *agent {
	env := append(os.Environ(), "VGGSE_STATE_DIR="+filepath.Join(work, "state"), "VGGSE_CACHE_DIR="+
		filepath.Join(work, "cache"), "NO_COLOR=1")
	if m.Library != "" {
		env = append(env, "ORT_LIB="+m.Library)
	}
	folders := m.Folders
	if have := os.Getenv("LD_LIBRARY_PATH"); have != "" {
		folders = append([]string{have}, folders...)
	}
	return &agent{path, append(env, "LD_LIBRARY_PATH="+strings.Join(folders, ":"))}
}

// outcome is how one command line of the agent ended.
type outcome struct {
	stdout, stderr string
	took           time.Duration
}

// said is the last line on stderr, which is where an error stands.
func (o *outcome) said() string {
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	words, _, _ := strings.Cut(strings.TrimPrefix(lines[len(lines)-1], "vggse-agent: "),
		" (cure: an ONNX Runtime that has it")
	return words
}

// crashed matches what Go's and C++'s runtimes say when a program dies of itself.
var crashed = regexp.MustCompile(`(?m)^(SIG[A-Z]+: .*|fatal error: .*|panic: .*|terminate called .*|.*non-Go code.*)$`)

func (a *agent) command(ctx context.Context, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	cmd := exec.CommandContext(ctx, a.path, args...)
	cmd.Env = a.env
	cmd.WaitDelay = 5 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	return cmd, &stdout, &stderr
}

// run runs one command line to its end, five minutes at most. A refusal is an error with the
// agent's own words.
func (a *agent) run(ctx context.Context, args ...string) (*outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd, stdout, stderr := a.command(ctx, args...)
	begin := time.Now()
	err := cmd.Run()
	o := &outcome{stdout.String(), stderr.String(), time.Since(begin)}
	if err == nil {
		return o, nil
	}
	return o, fmt.Errorf("vggse-agent %s: %w", args[0], o.why(ctx, err))
}

// why is the reason for which a command failed.
func (o *outcome) why(ctx context.Context, err error) error {
	if word := crashed.FindString(o.stderr); word != "" {
		return fmt.Errorf("crashed: %s", word)
	}
	var exit *exec.ExitError
	if ctx.Err() != nil || !errors.As(err, &exit) || !exit.Exited() || o.stderr == "" {
		return errors.Join(ctx.Err(), err)
	}
	return &refusal{o.said(), exit.ExitCode()}
}

// refusal is a failure that the agent itself explains.
type refusal struct {
	words string
	code  int
}

func (r *refusal) Error() string { return r.words }

// ask runs a verb with --json and decodes its one line.
func (a *agent) ask(ctx context.Context, into any, args ...string) (*outcome, error) {
	o, err := a.run(ctx, append(args, "--json")...)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal([]byte(o.stdout), into); err != nil {
		return o, fmt.Errorf("vggse-agent %s --json: %w: %q", args[0], err, o.stdout)
	}
	return o, nil
}

// answers are the logits of every picture in a folder, by file name.
type answers map[string][]float64

// classify asks for the answers of a bundle.
func (a *agent) classify(ctx context.Context, bundleDir, provider, precision, pictures string) (answers, error) {
	o, err := a.run(ctx, "classify", "--json", "--logits", "--bundle", bundleDir, "--provider", provider,
		"--precision", precision, pictures)
	if err != nil {
		return nil, err
	}
	all := make(answers)
	for line := range strings.Lines(o.stdout) {
		var v struct {
			File, Provider, Precision string
			Logits                    []float64
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			return nil, fmt.Errorf("classify --json: %w: %q", err, line)
		}
		if v.Provider != provider || v.Precision != precision {
			return nil, fmt.Errorf("classify answered with %s on %s, %s on %s was asked for", v.Precision, v.Provider,
				precision, provider)
		}
		all[v.File] = v.Logits
	}
	if len(all) == 0 {
		return nil, errors.New("classify answered nothing")
	}
	return all, nil
}
