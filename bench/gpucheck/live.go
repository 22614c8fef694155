package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is 'vggse-agent run' at work on made-up pictures, as fast as they can be drawn.
type daemon struct {
	cmd     *exec.Cmd
	stderr  *bytes.Buffer
	metrics string        // URL
	ended   chan struct{} // closed when the process has ended
	err     error         // how, once it has
}

func (s *suite) start(ctx context.Context, provider string) (*daemon, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	cmd, _, stderr := s.agent.command(ctx, "run", "--bundle", s.demo, "--source",
		"demo://parts?width=128&height=128&speed=max",
		"--set", "infer.providers="+provider, "--set", "http.listen="+address, "--set", "mqtt.spool.bytes=0")
	d := &daemon{cmd: cmd, stderr: stderr, metrics: "http://" + address + "/metrics", ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		d.err = cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

var classified = regexp.MustCompile(`(?m)^vggse_frames_classified_total\{.*\} (\S+)$`)

// reach waits until the daemon has classified n frames and returns how many it has.
func (d *daemon) reach(ctx context.Context, n float64) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute,
		fmt.Errorf("it did not classify %.0f frames in two minutes", n))
	defer cancel()
	for {
		if have := d.frames(); have >= n {
			return have, nil
		}
		select {
		case <-d.ended:
			o := outcome{stderr: d.stderr.String()}
			return 0, fmt.Errorf("it ended by itself: %w: %s", errors.Join(d.err), o.said())
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// frames asks; -1 while it does not answer.
func (d *daemon) frames() float64 {
	answer, err := http.Get(d.metrics)
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if found := classified.FindSubmatch(text); err == nil && found != nil {
		n, _ := strconv.ParseFloat(string(found[1]), 64)
		return n
	}
	return -1
}

// resident is its memory in RAM, MiB.
func (d *daemon) resident() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kb / 1024, err
		}
	}
	return 0, errors.Join(err, errors.New("/proc does not tell its memory"))
}

// stop sends the signal and returns how long the end took. The end must be its own, without an
// error.
func (d *daemon) stop(signal syscall.Signal) (time.Duration, error) {
	begin := time.Now()
	if err := d.cmd.Process.Signal(signal); err != nil {
		return 0, err
	}
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		d.kill()
		return 0, fmt.Errorf("%v did not end it in 20 s", signal)
	}
	if word := crashed.FindString(d.stderr.String()); word != "" || d.err != nil {
		return 0, fmt.Errorf("%v ended it badly: %w %s", signal, d.err, word)
	}
	return time.Since(begin), nil
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // an error says that it has ended
	<-d.ended
}

// memory: between two moments of a daemon at work, a thousand frames apart, nothing is left behind.
func memory(ctx context.Context, s *suite) (string, error) {
	const most = 8.0 // MiB: less than 9 kB a frame
	warm, frames := 500.0, 1000.0
	if s.short {
		warm, frames = 100, 200
	}
	d, err := s.start(ctx, s.best())
	if err != nil {
		return "", err
	}
	defer d.kill()
	var at [2]float64
	var gpu [2]int
	var counted [2]float64
	begin := time.Now()
	for i, n := range []float64{warm, warm + frames} {
		if counted[i], err = d.reach(ctx, n); err != nil {
			return "", err
		}
		if i == 0 {
			begin = time.Now()
		}
		if at[i], err = d.resident(); err != nil {
			return "", err
		}
		gpu[i] = gpuMemory(ctx)
	}
	rate := (counted[1] - counted[0]) / time.Since(begin).Seconds()
	found := fmt.Sprintf("%s: %.1f MiB after %.0f frames, %.1f after %.0f; the GPU's %d and %d MiB; %.0f frames/s "+
		"through the whole daemon",
		s.on(), at[0], counted[0], at[1], counted[1], gpu[0], gpu[1], rate)
	if at[1]-at[0] > most || gpu[1]-gpu[0] > int(most) {
		return "", fmt.Errorf("more than %g MiB are left behind: %s", most, found)
	}
	if _, err := d.stop(syscall.SIGTERM); err != nil {
		return "", err
	}
	return found, nil
}

// interrupts: Ctrl-C and SIGTERM end a working agent at once and properly, early ones too.
func interrupts(ctx context.Context, s *suite) (string, error) {
	var worst time.Duration
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT}
	for i, signal := range signals {
		d, err := s.start(ctx, s.best())
		if err != nil {
			return "", err
		}
		if _, err := d.reach(ctx, []float64{0, 30, 60}[i]); err != nil {
			d.kill()
			return "", err
		}
		took, err := d.stop(signal)
		if err != nil {
			return "", err
		}
		worst = max(worst, took)
	}
	return fmt.Sprintf("%s: SIGINT and SIGTERM, %d times, ended it with exit code 0 in at most %.2f s", s.on(),
		len(signals), worst.Seconds()), nil
}
