package selfexec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
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

// LowestPriority gives all threads of this process, and those that they start, the lowest priority,
// for good: what runs beside it takes the processor first.
func LowestPriority() error {
	for range 3 { // a thread may start another one meanwhile
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err == nil {
				err = syscall.Setpriority(syscall.PRIO_PROCESS, id, 19)
			}
			if err != nil && !errors.Is(err, syscall.ESRCH) { // it has ended
				return os.NewSyscallError("setpriority", err)
			}
		}
	}
	return nil
}
