package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// newRecordEndCmd is the unit's ExecStopPost: it writes down how the agent ended, so that the next
// start can tell a crash from a kill or a loss of power. A configuration that cannot be read must
// not keep it from that: then the state folder is the one that systemd gives.
func newRecordEndCmd(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "record-end", Short: "Record how the agent ended (for the service manager)", Hidden: true,
		Args: exactArgs(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			dir, _, _ := strings.Cut(os.Getenv("STATE_DIRECTORY"), ":")
			if e, err := s.load(); err == nil {
				dir = e.Config.StateDir
			} else if dir == "" {
				return err
			}
			e := store.Ending{Boot: store.BootID(), Result: os.Getenv("SERVICE_RESULT"), Code: os.Getenv("EXIT_CODE"),
				Status: os.Getenv("EXIT_STATUS")}
			if e.Result == "exit-code" && e.Code == "exited" && e.Status == "2" {
				if signal := crashSignal(dir); signal != "" {
					e.Result, e.Code, e.Status = "signal", "killed", signal
				}
			}
			return store.RecordEnding(dir, e)
		},
	}
}

// crashFile is where Go's runtime repeats, in the state folder, what it says about a crash. It
// turns every deadly signal into the exit code 2, with which it ends after a panic as well.
const crashFile = "last-crash.txt"

// crashLimit is how much of it is read, bytes; the signal stands in its first lines.
const crashLimit = 8 << 20

// keepCrash begins the file anew. Where it cannot be written nothing speaks against a model,
// either.
func keepCrash(stateDir string) {
	if account.NotForRoot(stateDir) != nil || os.MkdirAll(stateDir, 0o700) != nil {
		return
	}
	path := filepath.Join(stateDir, crashFile)
	os.Remove(path)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	_ = debug.SetCrashOutput(f, debug.CrashOptions{}) // which has a descriptor of its own
}

// crashLine is what the runtime writes first about a signal that came from C, or from outside; a
// panic of Go's own code begins otherwise.
var crashLine = regexp.MustCompile(`(?m)^SIG([A-Z]+): `)

// crashSignal is the signal that ended the agent of a state folder, without its SIG; empty where
// none did.
func crashSignal(stateDir string) string {
	text, err := atomicfile.ReadSmall(filepath.Join(stateDir, crashFile), crashLimit)
	if err != nil {
		return ""
	}
	if found := crashLine.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}
