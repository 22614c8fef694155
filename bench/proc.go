package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// listener is a real Mosquitto with a real subscriber, which tells when each result arrived.
type listener struct {
	address   string
	broker    *exec.Cmd
	subscribe *exec.Cmd
	results   chan time.Time
}

func listen(ctx context.Context) (*listener, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	l := &listener{address: fmt.Sprintf("127.0.0.1:%d", port), results: make(chan time.Time, 1<<16)}
	mosquitto, err := exec.LookPath("mosquitto")
	if err != nil {
		mosquitto = "/usr/sbin/mosquitto" // not on everybody's PATH
	}
	l.broker = exec.CommandContext(ctx, mosquitto, "-p", strconv.Itoa(port))
	if err := l.broker.Start(); err != nil {
		return nil, err
	}
	for range 100 {
		if c, err := net.Dial("tcp", l.address); err == nil {
			c.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	l.subscribe = exec.CommandContext(ctx, "mosquitto_sub", "-p", strconv.Itoa(port), "-t", "+/+/+/result", "-t",
		"peer/result", "-F", "%t")
	out, err := l.subscribe.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.subscribe.Start(); err != nil {
		return nil, err
	}
	go l.read(out)
	time.Sleep(300 * time.Millisecond) // until it has subscribed
	return l, nil
}

func (l *listener) read(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		l.results <- time.Now()
	}
	close(l.results)
}

func (l *listener) close() {
	for _, p := range []*exec.Cmd{l.subscribe, l.broker} {
		p.Process.Kill()
		p.Wait()
	}
}

// job is what one process did with one video.
type job struct {
	first   float64 // seconds from exec until a subscriber had the first result
	rate    float64 // results per second from the first to the last
	cpu     float64 // milliseconds of CPU per result after the first
	peak    float64 // MiB of resident memory at most, of the process itself
	all     float64 // MiB of it and its children, what several have counted once; of the last hundredth result
	results int
	stdout  []byte
}

// run executes a command that classifies a video and ends, and watches its results arrive.
func (l *listener) run(ctx context.Context, frames int, name string, args ...string) (*job, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	j := &job{}
	var first, last time.Time
	var cpuAtFirst time.Duration
	note := func(at time.Time) {
		if j.results++; j.results == 1 {
			first, cpuAtFirst = at, cpuOf(cmd.Process.Pid)
		}
		if j.results%memoryEvery == 1 {
			j.memory(cmd.Process.Pid)
		}
		last = at
	}
	var err error
	for running := true; running; {
		select {
		case at := <-l.results:
			note(at)
		case err = <-ended:
			running = false
		}
	}
	for pause := time.After(300 * time.Millisecond); pause != nil; { // what is on its way arrives
		select {
		case at := <-l.results:
			note(at)
		case <-pause:
			pause = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", name, err, stderr.String())
	}
	if j.results < frames*95/100 {
		return nil, fmt.Errorf("%s published %d results for %d frames\n%s", name, j.results, frames, stderr.String())
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	used := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	j.first = first.Sub(start).Seconds()
	j.rate = float64(j.results-1) / last.Sub(first).Seconds()
	j.cpu = float64(used-cpuAtFirst) / 1e6 / float64(j.results-1)
	j.stdout = stdout.Bytes()
	return j, nil
}

// memoryEvery is after how many results the memory is looked at.
const memoryEvery = 100

// memory notes what a running process has in memory. getrusage's maximum would be that of its largest child.
func (j *job) memory(pid int) {
	j.peak = max(j.peak, procMiB(pid, "status", "VmHWM:"))
	j.all = procMiB(pid, "smaps_rollup", "Pss:")
	for _, c := range childrenOf(pid) {
		j.all += procMiB(c, "smaps_rollup", "Pss:")
	}
}

// cpuOf is the CPU time of a running process so far, to 10 ms.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest) // from field 3, state; utime and stime are fields 14 and 15 (proc(5))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// childrenOf are the processes that any thread of a process has started.
func childrenOf(pid int) (all []int) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for _, field := range strings.Fields(string(text)) {
			if c, err := strconv.Atoi(field); err == nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// procMiB is a field in kB of a file of a process, in MiB; 0 where there is none.
func procMiB(pid int, file, field string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	_, rest, _ := strings.Cut(string(text), "\n"+field)
	var kb float64
	fmt.Sscan(rest, &kb)
	return kb / 1024
}
