package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// holderFile is what the agent of a state folder holds while it runs.
const holderFile = ".agent.lock"

// Hold marks the state folder as used by this process until release is called, for Reload. It must
// take SIGHUP by then. Where the folder cannot be written, nobody finds it.
func Hold(stateDir string) (release func()) {
	if account.NotForRoot(stateDir) != nil || os.MkdirAll(stateDir, 0o700) != nil {
		return func() {}
	}
	release, err := filelock.Hold(filepath.Join(stateDir, holderFile), 0o600)
	if err != nil {
		return func() {}
	}
	return release
}

// Reload asks the agent that uses the state folder, another process, to read its settings again, and
// which model is active. It returns that process; 0: none runs that can be seen from here.
func Reload(stateDir string) (pid int, err error) {
	pid, err = filelock.Holder(filepath.Join(stateDir, holderFile))
	if err == nil && pid > 0 {
		err = syscall.Kill(pid, syscall.SIGHUP)
	}
	if err != nil {
		return pid, fmt.Errorf("agent: reload: %w", err)
	}
	return pid, nil
}
