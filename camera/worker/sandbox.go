package worker

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/landlock"
)

// Level is how far a child is locked in.
type Level string

// The levels of a sandbox, the best first.
const (
	// LevelFull: Landlock and seccomp. The child sees its libraries, its source and no other file,
	// writes none, and has no network but for a network camera.
	LevelFull Level = "full"
	// LevelSeccomp: seccomp alone, as without Landlock in the kernel (before Linux 5.13). Files that
	// the agent's user may read stay readable.
	LevelSeccomp Level = "seccomp only"
	// LevelOff: a process of its own, and nothing more.
	LevelOff Level = "off"
)

// profile is what a child of a kind of source needs.
type profile struct {
	// wide is for GStreamer pipelines of one's own and for the hardware of a Jetson, whose libraries
	// open what they like: what no decoder needs is refused, the rest allowed.
	wide    bool
	network bool
	device  bool // ioctl of a V4L2 device, which is opened for writing
	reads   []string
	writes  []string // device files
}

// profileOf is the profile of a source.
func profileOf(c *camera.Config) profile {
	u, err := camera.ParseURI(c.Source)
	if err != nil {
		return profile{} // it will not be opened
	}
	_, err = os.Stat("/etc/nv_tegra_release")
	p := profile{wide: u.Scheme == "csi" || u.Scheme == "gst" || err == nil, network: c.Network() || u.Scheme == "rtp"}
	switch u.Scheme {
	case "file":
		p.reads = filesOf(u.Target)
	case "v4l2":
		p.device, p.writes = true, []string{u.Target}
	}
	return p
}

// filesOf are the files and folders that a path of file:// may need: a picture's folder, for it may
// be exchanged for another one, and a pattern's.
func filesOf(path string) []string {
	if at := strings.IndexAny(path, "*["); at >= 0 {
		if _, err := os.Stat(path); err != nil {
			return []string{filepath.Dir(path[:at] + "x")}
		}
	}
	if camera.IsPicture(path) {
		return []string{filepath.Dir(path)}
	}
	return []string{path}
}

// confined says how far this process, a child, is locked in, and what stands against more.
type confined struct {
	Level Level
	Why   string `json:",omitempty"`
}

// stageVar is the environment variable with which a child tells itself, across the exec, how far
// Landlock went. A sandbox of files holds for the thread that asks for it and what it starts: Go's
// other threads would stay outside, and its AllThreadsSyscall is not for programs with C in them.
const stageVar = "VGGSE_CHILD"

// lockIn is the first stage of a child: it takes what it can from this thread, and starts the
// program once more from it. It returns only where that failed.
func lockIn(told *settings) error {
	if told.Camera.UsesGStreamer() {
		camera.RefreshGStreamer(registryOf(told.Env))
	}
	runtime.LockOSThread()
	os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) //nolint:errcheck // where memory lacks, it goes first
	for what, limit := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 512} {
		unix.Setrlimit(what, &unix.Rlimit{Cur: limit, Max: limit}) //nolint:errcheck // lower ones stay
	}
	stage := "-"
	mode := told.Camera.SandboxMode()
	if mode != camera.SandboxOff {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return err
		}
		p := profileOf(&told.Camera)
		switch {
		case mode == camera.SandboxSeccomp:
			stage = "as the settings say"
		case p.wide:
			stage = "this kind of source needs more than can be listed"
		default:
			stage = ""
			if err := landlock.Restrict(rulesOf(&p, told.Env), p.network); err != nil {
				stage = err.Error()
			}
		}
	}
	closeOthers()
	env := append(environment(), stageVar+"="+stage)
	return unix.Exec("/proc/self/exe", os.Args, env)
}

// closeOthers makes the exec close what the child has beside its own descriptors.
func closeOthers() {
	if unix.CloseRange(childSocket+1, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	all, _ := os.ReadDir("/proc/self/fd") // before Linux 5.11
	for _, entry := range all {
		var fd int
		if _, err := fmt.Sscan(entry.Name(), &fd); err == nil && fd > childSocket {
			unix.CloseOnExec(fd)
		}
	}
}

// dataLimit is the memory that a child may take beyond what the program has at its start: 8K video
// with all its reference frames takes about 1 GiB.
const dataLimit = 3 << 30

// lockOut is the second stage: this process has its libraries and no foreign byte yet.
func lockOut(told *settings) confined {
	limitMemory()
	stage := os.Getenv(stageVar)
	os.Unsetenv(stageVar)
	if told.Camera.SandboxMode() == camera.SandboxOff {
		return confined{LevelOff, "as the settings say"}
	}
	p := profileOf(&told.Camera)
	// No file can be written to, but for the device.
	unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}) //nolint:errcheck // it can always be lowered
	if err := restrictCalls(&p); err != nil {
		return confined{LevelOff, err.Error()}
	}
	if stage != "" {
		return confined{LevelSeccomp, stage}
	}
	return confined{Level: LevelFull}
}

// ReadOnly takes from every thread of this process all system calls but those that reading files and
// computing need: no file is written, no process or connection made, from here on. It is for other
// foreign code than a decoder's. The error says why nothing was taken, as where the kernel has no
// seccomp.
func ReadOnly() error { return restrictCalls(&profile{}) }

// limitMemory bounds the memory of this process.
func limitMemory() {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return
	}
	_, rest, _ := strings.Cut(string(text), "VmData:")
	var kilobytes uint64
	if _, err := fmt.Sscan(rest, &kilobytes); err == nil {
		limit := kilobytes<<10 + dataLimit
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}) //nolint:errcheck // lower ones stay
	}
}

// Supported is the best level that this machine has, and in words why no better one.
func Supported() (level Level, why string) {
	switch abi, err := landlock.ABI(); {
	case !seccompThere():
		return LevelOff, "this kernel, or the service's SystemCallFilter, has no seccomp"
	case err != nil:
		return LevelSeccomp, err.Error()
	default:
		return LevelFull, fmt.Sprintf("Landlock %d and seccomp", abi)
	}
}
