package selfexec

import (
	"os"
	"os/exec"
	"runtime"
)

// Command is this program once more with args, to be started by the caller: a child in a process
// group of its own that is killed when this process ends, however that happens. The thread that
// starts it must not end before, which in a Go program only a goroutine that exits locked to its
// thread brings about.
func Command(args ...string) (*exec.Cmd, error) {
	self, err := program()
	if err != nil {
		return nil, err
	}
	child := exec.Command(self, args...)
	child.Args[0] = os.Args[0] // what ps shows
	tie(child)
	return child, nil
}

// program is the path of this program: the file that runs, even where an update has put another in
// its place.
func program() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}
