package selfexec

import (
	"os/exec"
	"syscall"
)

// tie makes a child end with this process however that ends, and keeps the terminal's Ctrl-C from
// it: the parent ends it, and cleans up behind it.
func tie(child *exec.Cmd) {
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
