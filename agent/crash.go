package agent

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// RecordEnding writes down in the state folder how the agent ended, by what systemd tells the
// unit's ExecStopPost in its environment, and by the crash that KeepCrash has kept.
func RecordEnding(stateDir string, getenv func(string) string) error {
	if err := account.NotForRoot(stateDir); err != nil {
		return err
	}
	e := store.Ending{Boot: store.BootID(), Result: getenv("SERVICE_RESULT"), Code: getenv("EXIT_CODE"),
		Status: getenv("EXIT_STATUS")}
	if e.Result == "exit-code" && e.Code == "exited" && e.Status == "2" {
		if signal := CrashSignal(stateDir); signal != "" {
			e.Result, e.Code, e.Status = "signal", "killed", signal
		}
	}
	return store.RecordEnding(stateDir, e)
}

// CrashFile is where Go's runtime repeats, in the state folder, what it says about a crash. It
// turns every deadly signal into the exit code 2, with which it ends after a panic as well.
const CrashFile = "last-crash.txt"

// crashLimit is how much of it is read, bytes; the signal stands in its first lines.
const crashLimit = 8 << 20

// KeepCrash begins the file anew. Where it cannot be written nothing speaks against a model,
// either.
func KeepCrash(stateDir string) {
	if account.NotForRoot(stateDir) != nil || os.MkdirAll(stateDir, 0o700) != nil {
		return
	}
	path := filepath.Join(stateDir, CrashFile)
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

// CrashSignal is the signal that ended the agent of a state folder, without its SIG; empty where
// none did.
func CrashSignal(stateDir string) string {
	text, err := atomicfile.ReadSmall(filepath.Join(stateDir, CrashFile), crashLimit)
	if err != nil {
		return ""
	}
	if found := crashLine.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return ""
}
