package worker

import (
	"fmt"
	"os"
	"path/filepath"
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

// lockMessage is what a child does before it is anything else, see early.c: it takes its files and the
// network from itself, as far as the mode and the kernel allow. why is what stands against more.
func lockMessage(c *camera.Config, env map[string]string) (message []byte, why string) {
	head := make([]byte, 32)
	head[0] = byte(kindLock)
	mode := c.SandboxMode()
	if mode == camera.SandboxOff {
		return head, "as the settings say"
	}
	head[1] = 1 // no new privileges
	p := profileOf(c)
	switch {
	case mode == camera.SandboxSeccomp:
		return head, "as the settings say"
	case p.wide:
		return head, "this kind of source needs more than can be listed"
	}
	attributes, err := landlock.Attributes(p.network)
	if err != nil {
		return head, err.Error()
	}
	head[2] = byte(copy(head[8:], attributes))
	for _, r := range rulesOf(&p, env) {
		head = append(appendUint64(head, r.Access), r.Path...)
		head = append(head, 0)
	}
	return head, ""
}

// dataLimit is the memory that a child may take beyond what the program has at its start: 8K video
// with all its reference frames takes about 1 GiB.
const dataLimit = 3 << 30

// lockOut takes from this process, which has its libraries and no foreign byte yet, all system calls
// that it does not need.
func lockOut(told *settings) confined {
	for what, limit := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 512} {
		unix.Setrlimit(what, &unix.Rlimit{Cur: limit, Max: limit}) //nolint:errcheck // lower ones stay
	}
	limitMemory()
	if told.Camera.SandboxMode() == camera.SandboxOff {
		return confined{LevelOff, "as the settings say"}
	}
	p := profileOf(&told.Camera)
	// No file can be written to, but for the device.
	unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}) //nolint:errcheck // it can always be lowered
	if err := restrictCalls(&p); err != nil {
		return confined{LevelOff, err.Error()}
	}
	why := told.Unlocked
	if err := locked(); err != nil && why == "" {
		why = err.Error()
	}
	if why != "" {
		return confined{LevelSeccomp, why}
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
