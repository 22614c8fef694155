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
	runtime.LockOSThread() // the kernel takes the thread that started the child for its parent
	defer runtime.UnlockOSThread()
	child := exec.CommandContext(ctx, self, args...)
	child.Stdin = bytes.NewReader(stdin)
	var out, words bytes.Buffer
	child.Stdout, child.Stderr = &out, &words
	child.WaitDelay = 5 * time.Second
	tie(child)
	err = child.Run()
	if ctx.Err() != nil {
		return out.Bytes(), ctx.Err()
	}
	if err != nil {
		err = Died(err, words.Bytes())
	}
	return out.Bytes(), err
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
