// Command vggse-agent captures pictures on an embedded GPU, classifies them with a VGG16-SE and
// publishes the answers over MQTT. Each verb stands in a file of its own name.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"unicode"

	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/internal/selfexec"
)

// Exit codes, a contract with other people's scripts.
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 2
	exitGate    = 3  // a quality gate was missed
	exitRestart = 75 // restart me: asked for, or a run of the network is stuck in C
	exitConfig  = 78 // bad configuration
)

func main() {
	if worker.Asked(os.Args) { // one camera, for the agent itself
		os.Exit(worker.Main())
	}
	stepBack = selfexec.LowestPriority
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// stepBack lets other processes go first, for good, where this is a process for one command.
var stepBack = func() error { return nil }

// execute runs one command line and returns its exit code; the message of a failure goes to stderr.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if verb, rest, _ := root.Find(args); err != nil && verb == root && len(rest) > 0 &&
		!strings.HasPrefix(rest[0], "-") {
		err = unknownVerb(root, rest) // and not the flags behind it
	}
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "vggse-agent:", visible(sentence(ctx, err)))
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// visible shows control characters, which a name or a path may hold, as what they are: a terminal
// would obey them.
func visible(text string) string {
	var out strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			fmt.Fprintf(&out, "\\x%02x", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// oneLine is visible without ends of lines and tabs, for a name in a table: with one a file could write
// lines of its own.
func oneLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\t", `\t`).Replace(visible(text))
}

// codedError is an error with an exit code of its own.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// withCode makes err end the process with the given exit code; nil stays nil.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code: code, err: err}
}

// usagef is a mistake in the command line: exit code 2.
func usagef(format string, args ...any) error {
	return withCode(exitUsage, fmt.Errorf(format, args...))
}
