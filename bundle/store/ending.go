package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Ending is how the agent's process ended, as the service manager tells it in the variables that
// systemd.exec(5) describes.
type Ending struct {
	Boot   string `json:"boot"`   // id of the boot in which it ended
	Result string `json:"result"` // $SERVICE_RESULT: core-dump, signal, oom-kill, watchdog, …
	Code   string `json:"code"`   // $EXIT_CODE: exited, killed or dumped
	Status string `json:"status"` // $EXIT_STATUS: the exit code, or the signal without its SIG
}

// crashSignals are those by which a process ends that did something wrong itself.
var crashSignals = []string{"SEGV", "ABRT", "BUS", "FPE"}

// crashed reports whether the process brought itself down. A kill from outside did not: neither the
// kernel's for want of memory, nor the manager's after silence, nor a stop, nor a loss of power,
// which records nothing.
func (e *Ending) crashed() bool {
	return e != nil && (e.Code == "killed" || e.Code == "dumped") &&
		(e.Result == "signal" || e.Result == "core-dump") &&
		slices.Contains(crashSignals, strings.TrimPrefix(e.Status, "SIG"))
}

// endingFile is the name of the record in the state folder.
const endingFile = "last-end.json"

// RecordEnding writes down how the agent that uses the state folder ended, for the next Begin.
func RecordEnding(stateDir string, e Ending) error {
	path := filepath.Join(stateDir, endingFile)
	err := atomicfile.WriteFileMode(path, 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(e) })
	if err != nil {
		return fmt.Errorf("store: record the end: %w", err)
	}
	return nil
}

// ending reads the record of the process before; nil where there is none that can be read.
func (s *Store) ending() *Ending {
	text, err := atomicfile.ReadSmall(filepath.Join(filepath.Dir(s.dir), endingFile), stateLimit)
	e := new(Ending)
	if err != nil || json.Unmarshal(text, e) != nil {
		return nil
	}
	return e
}

// forgetEnding removes the record: it counts for one start.
func (s *Store) forgetEnding() error {
	err := os.Remove(filepath.Join(filepath.Dir(s.dir), endingFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// BootID is the kernel's name for the time since the machine was switched on; empty where it has
// none.
func BootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(text))
}
