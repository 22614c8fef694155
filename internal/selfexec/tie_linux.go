package selfexec

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// tie makes a child end with this process however that ends, and keeps the terminal's Ctrl-C from
// it: the parent ends it, and cleans up behind it.
func tie(child *exec.Cmd) {
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// lowest gives the calling thread, and what it starts from now on, the lowest priority.
func lowest() error {
	return os.NewSyscallError("setpriority", syscall.Setpriority(syscall.PRIO_PROCESS, 0, 19))
}

// spare makes the kernel end a child before others where memory lacks.
func spare(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0) // where that may be set
}
