package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/landlock"
	"github.com/vggse/vggse-agent/internal/selfexec"
)

// lookVerb is the process that lookInChild starts.
const lookVerb = "look-at-runtime"

// lockStage is the environment variable with which such a process tells itself, across the exec,
// that it is locked in.
const lockStage = "VGGSE_LOCKED"

// lookTime is how long a library may take to load: one of 700 MB takes seconds from an SD card.
// Shorter in tests.
var lookTime = time.Minute

// nobody is the account for what is to own nothing.
const nobody = 65534

// lookAnswer is what the process prints.
type lookAnswer struct {
	Version string `json:"version"`
	Error   string `json:"error"` // "": the library will do
}

// newLookCmd looks at the library NAME in the working folder. What the library does on loading is
// nobody's where root asks, and can write no file, start no process and reach no network where the
// kernel has Landlock and seccomp.
func newLookCmd() *cobra.Command {
	return &cobra.Command{
		Use: lookVerb + " NAME", Short: "Look at an ONNX Runtime (for the agent itself)", Hidden: true,
		Args: exactArgs(1, "one NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !lockedIn() {
				everything := landlock.Rule{Path: "/", Access: landlock.ReadFolder | landlock.Execute}
				return fmt.Errorf("cannot start again with fewer rights: %w",
					lockIn([]landlock.Rule{everything, {Path: "/dev/null", Access: landlock.UseDevice}}))
			}
			if err := giveUpRoot(); err != nil {
				return err
			}
			worker.ReadOnly() //nolint:errcheck // older kernels have no seccomp
			var a lookAnswer
			version, err := infer.Look(cmd.Context(), ".", args[0])
			if a.Version = version; err != nil {
				a.Error = err.Error()
			}
			return printJSON(cmd.OutOrStdout(), a)
		},
	}
}

// lockedIn tells whether this process was started by lockIn.
func lockedIn() bool {
	_, inside := os.LookupEnv(lockStage)
	return inside
}

// lockIn starts this program once more, as the same process, from a thread that can gain no rights,
// reach no network and open no file but those of the rules, where the kernel has Landlock. It
// returns only where that failed.
func lockIn(rules []landlock.Rule) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	landlock.Restrict(rules, false) //nolint:errcheck // older kernels have none
	// Ending with the parent is a thread's own, and this one goes on alone.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, append(os.Environ(), lockStage+"=1"))
}

// giveUpRoot makes this process nobody's where it is root's, for good.
func giveUpRoot() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := account.Become(nobody, nobody); err != nil {
		return err
	}
	// Another account clears it.
	return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
}

// lookInChild is infer.Look in a process of its own, which may do less than this one: the library
// runs code of its own before anybody knows what it is.
func lookInChild(ctx context.Context, dir, name string) (version string, err error) {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	env := []string{}
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		env = append(env, "LD_LIBRARY_PATH="+path)
	}
	stdout, err := selfexec.RunIn(limited, dir, env, []string{lookVerb, name})
	var a lookAnswer
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case limited.Err() != nil:
		return "", fmt.Errorf("%s does not load within %s", name, lookTime)
	case err != nil:
		return "", fmt.Errorf("loading %s: %w", name, err)
	}
	stdout = bytes.TrimSpace(stdout)
	answer := stdout[bytes.LastIndexByte(stdout, '\n')+1:] // the library may have talked, too
	if err := json.Unmarshal(answer, &a); err != nil {
		return "", fmt.Errorf("loading %s: its process answers %.200q", name, stdout)
	}
	if a.Error != "" {
		return "", errors.New(a.Error)
	}
	return a.Version, nil
}
