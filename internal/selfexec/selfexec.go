// Package selfexec runs this program once more, as a child that a crash or an end of this process
// takes along.
package selfexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Run runs this program once more with args, and stdin to read, and returns what it printed. It
// ends with ctx, and the child never outlives this process. The error of a child that failed is its
// last word.
func Run(ctx context.Context, args []string, stdin []byte) (stdout []byte, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, self, args...)
	child.Stdin = bytes.NewReader(stdin)
	return run(ctx, child)
}

// RunIn is Run in the folder dir with the environment env alone, nothing to read, and files from
// descriptor 3 on. What the child started in its process group ends with it.
func RunIn(ctx context.Context, dir string, env, args []string, files ...*os.File) (stdout []byte, err error) {
	self, err := program()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, self, args...)
	child.Dir, child.Env, child.ExtraFiles = dir, env, files
	stdout, err = run(ctx, child)
	if child.Process != nil {
		syscall.Kill(-child.Process.Pid, syscall.SIGKILL) //nolint:errcheck // what it may have started, and left
	}
	return stdout, err
}

func run(ctx context.Context, child *exec.Cmd) (stdout []byte, err error) {
	runtime.LockOSThread() // the kernel takes the thread that started the child for its parent
	defer runtime.UnlockOSThread()
	var out, words head
	child.Stdout, child.Stderr = &out, &words
	child.WaitDelay = 5 * time.Second
	tie(child)
	err = child.Run()
	if ctx.Err() != nil {
		return out.kept, ctx.Err()
	}
	if err != nil {
		err = Died(err, words.kept)
	}
	return out.kept, err
}

// headSize is how much of a child's words is kept.
const headSize = 1 << 20

// head keeps the beginning of what is written to it, for a child may write without end.
type head struct{ kept []byte }

func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), headSize-len(h.kept))]...)
	return len(p), nil
}

// crash is the line with which Go's runtime, or C++'s, tells a crash before it prints all registers
// and stacks.
var crash = regexp.MustCompile(`(?m)^(SIG[A-Z]+: .*|terminate called .*|fatal error: .*|panic: .*)$`)

// Died explains the end of a child, err being what Wait returned and stderr its last words: that it
// was killed, a crash, or its last line.
func Died(err error, stderr []byte) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() && s.Signal() == syscall.SIGKILL {
		return errors.New("its process was killed: out of memory, as 'dmesg' should tell")
	}
	if word := crash.Find(stderr); word != nil {
		return fmt.Errorf("its process ended without a word (%w): %s", err, word)
	}
	last := bytes.TrimSpace(stderr)
	last = last[bytes.LastIndexByte(last, '\n')+1:]
	if exit.Exited() && len(last) > 0 {
		return errors.New(strings.TrimPrefix(string(last), "vggse-agent: "))
	}
	return fmt.Errorf("its process ended without a word (%w): %s", err, last)
}
