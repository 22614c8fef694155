package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
)

// attempt is something that a child may try, which has to be refused.
type attempt struct {
	name    string
	files   bool // refused by Landlock alone
	network bool // allowed to a network camera
	try     func() error
}

func call(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.RawSyscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// attempts are made beside a secret file and a film that may be read.
func attempts(secret, film string) []attempt {
	parent := uintptr(os.Getppid())
	read := func(path string) func() error {
		return func() error { _, err := os.ReadFile(path); return err }
	}
	socket := func(family int) func() error {
		return func() error { _, err := unix.Socket(family, unix.SOCK_DGRAM, 0); return err }
	}
	return append(refusedCalls(), []attempt{
		{"read a secret", true, false, read(secret)},
		{"list its folder", true, false, func() error { _, err := os.ReadDir(filepath.Dir(secret)); return err }},
		{"read /etc/passwd", true, false, read("/etc/passwd")},
		{"read the parent's environment", true, false, read(fmt.Sprintf("/proc/%d/environ", parent))},
		{"make a file", false, false, func() error { return os.WriteFile(film+".new", []byte("x"), 0o600) }},
		{"write to a file", false, false, func() error {
			f, err := os.OpenFile(film, os.O_WRONLY, 0)
			if err == nil {
				defer f.Close()
			}
			return err
		}},
		{"remove a file", false, false, func() error { return os.Remove(film) }},
		{"rename a file", false, false, func() error { return os.Rename(film, film+".x") }},
		{"socket AF_INET", false, true, socket(unix.AF_INET)},
		{"socket AF_INET6", false, true, socket(unix.AF_INET6)},
		{"socket AF_UNIX", false, false, socket(unix.AF_UNIX)},
		{"socket AF_NETLINK", false, true, socket(unix.AF_NETLINK)},
		{"ptrace", false, false, func() error { return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, parent) }},
		{"kill", false, false, func() error { return syscall.Kill(int(parent), 0) }},
		{"kill itself", false, false, func() error { return syscall.Kill(os.Getpid(), 0) }},
		{"tgkill", false, false, func() error { return unix.Tgkill(int(parent), int(parent), 0) }},
		{"pidfd_open", false, false, func() error { return call(unix.SYS_PIDFD_OPEN, parent) }},
		{"process_vm_readv", false, false, func() error { return call(unix.SYS_PROCESS_VM_READV, parent) }},
		{"process_vm_writev", false, false, func() error { return call(unix.SYS_PROCESS_VM_WRITEV, parent) }},
		{"exec", false, false, func() error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
		{"a process", false, false, func() error { return exec.Command("/bin/true").Run() }},
		{"unshare", false, false, func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"mount", false, false, func() error { return unix.Mount("x", "/tmp", "tmpfs", 0, "") }},
		{"bpf", false, false, func() error { return call(unix.SYS_BPF, 0) }},
		{"io_uring", false, false, func() error {
			return call(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(new([256]byte))))
		}},
		{"keyctl", false, false, func() error { return call(unix.SYS_KEYCTL, 0) }},
		{"memfd_create", false, false, func() error { _, err := unix.MemfdCreate("x", 0); return err }},
		{"more memory", false, false, func() error {
			_, err := unix.Mmap(-1, 0, 2*dataLimit, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			return err
		}},
		{"a longer limit", false, false, func() error {
			return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
		}},
	}...)
}

// refusedCalls are calls that no decoder makes and that have let others out of a sandbox, or to more
// of the kernel. Without the filter root would be told something else than EPERM.
func refusedCalls() (all []attempt) {
	const none, all64 = ^uintptr(0), ^uintptr(0) >> 1
	for _, c := range []struct {
		name   string
		number uintptr
		args   []uintptr
	}{
		{"userfaultfd", unix.SYS_USERFAULTFD, []uintptr{all64}}, {"perf_event_open", unix.SYS_PERF_EVENT_OPEN, nil},
		{"setns", unix.SYS_SETNS, []uintptr{none}}, {"execveat", unix.SYS_EXECVEAT, []uintptr{none}},
		{"io_uring_enter", unix.SYS_IO_URING_ENTER, []uintptr{none}},
		{"io_uring_register", unix.SYS_IO_URING_REGISTER, []uintptr{none}}, {"add_key", unix.SYS_ADD_KEY, nil},
		{"request_key", unix.SYS_REQUEST_KEY, nil}, {"pidfd_getfd", unix.SYS_PIDFD_GETFD, []uintptr{none}},
		{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, []uintptr{none}},
		{"process_madvise", unix.SYS_PROCESS_MADVISE, []uintptr{none}}, {"kcmp", unix.SYS_KCMP, []uintptr{none}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, []uintptr{none}},
		{"fanotify_init", unix.SYS_FANOTIFY_INIT, []uintptr{all64}},
		{"inotify_init1", unix.SYS_INOTIFY_INIT1, []uintptr{all64}}, {"mknodat", unix.SYS_MKNODAT, []uintptr{none}},
		{"symlinkat", unix.SYS_SYMLINKAT, nil}, {"linkat", unix.SYS_LINKAT, []uintptr{none}},
		{"mkdirat", unix.SYS_MKDIRAT, []uintptr{none}}, {"fchmodat", unix.SYS_FCHMODAT, []uintptr{none}},
		{"fchownat", unix.SYS_FCHOWNAT, []uintptr{none}}, {"truncate", unix.SYS_TRUNCATE, nil},
		{"utimensat", unix.SYS_UTIMENSAT, []uintptr{none, 1}}, {"setxattr", unix.SYS_SETXATTR, nil},
		{"chroot", unix.SYS_CHROOT, nil}, {"pivot_root", unix.SYS_PIVOT_ROOT, nil},
		{"open_tree", unix.SYS_OPEN_TREE, []uintptr{none}}, {"fsopen", unix.SYS_FSOPEN, nil},
		{"init_module", unix.SYS_INIT_MODULE, nil}, {"kexec_load", unix.SYS_KEXEC_LOAD, []uintptr{0, none}},
		{"personality", unix.SYS_PERSONALITY, []uintptr{0xffffffff}}, {"setuid", unix.SYS_SETUID, []uintptr{none}},
		{"sched_setscheduler", unix.SYS_SCHED_SETSCHEDULER, []uintptr{none}}, {"shmget", unix.SYS_SHMGET, nil},
		{"msgget", unix.SYS_MSGGET, nil}, {"semget", unix.SYS_SEMGET, nil}, {"mq_open", unix.SYS_MQ_OPEN, nil},
		{"listen", unix.SYS_LISTEN, []uintptr{none}}, {"accept4", unix.SYS_ACCEPT4, []uintptr{none}},
		{"seccomp", unix.SYS_SECCOMP, []uintptr{all64}},
		{"a terminal's input", unix.SYS_IOCTL, []uintptr{none, unix.TIOCSTI}},
		{"to be traced", unix.SYS_PTRACE, []uintptr{0}}, {"a signal at the parent's end", unix.SYS_PRCTL,
			[]uintptr{unix.PR_SET_PDEATHSIG, 0}},
		{"syslog", unix.SYS_SYSLOG, []uintptr{none}}, {"quotactl", unix.SYS_QUOTACTL, []uintptr{none}},
	} {
		all = append(all, attempt{name: c.name, try: func() error { return call(c.number, c.args...) }})
	}
	return all
}

func init() { hostile["escape"] = escape }

// escape is a child that locks itself in as each does, and then tries to leave. It tells what it
// could do.
func escape() {
	buffer := make([]byte, messageSize)
	n, _, err := unix.Recvfrom(childSocket, buffer, 0)
	var told settings
	if err != nil || json.Unmarshal(buffer[1:n], &told) != nil {
		os.Exit(1)
	}
	open := openFiles()
	within := lockOut(&told)
	film := told.Camera.ROI[0]
	var could []string
	for _, a := range attempts(told.Camera.Name, film) {
		err := a.try()
		switch {
		case err == nil:
			could = append(could, a.name)
		case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOMEM):
			could = append(could, a.name+" failed otherwise: "+err.Error())
		}
	}
	if _, err := os.ReadFile(film); err != nil {
		could = append(could, "not read the film: "+err.Error())
	}
	text := fmt.Sprintf("%s|%s|%s|%s", within.Level, strings.Join(could, ","), strings.Join(os.Environ(), ","), open)
	out, _ := json.Marshal(failure{Kind: "lost", Text: text})
	say(append([]byte{byte(kindFailed)}, out...)...)
}

// openFiles are the descriptors of this process, by the kind or the path of what they are.
func openFiles() string {
	var all []string
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // else it was the one that lists them
			kind, _, _ := strings.Cut(target, ":")
			all = append(all, kind)
		}
	}
	return strings.Join(all, ",")
}

// What a child may not do is refused: files at the full level alone, all else at both.
func TestEscape(t *testing.T) {
	Asked(nil)
	dir := t.TempDir()
	film, secret := filepath.Join(dir, "film.mp4"), filepath.Join(dir, "state", "secret")
	if err := errors.Join(os.WriteFile(film, []byte("film"), 0o600), os.Mkdir(filepath.Dir(secret), 0o700),
		os.WriteFile(secret, []byte("secret"), 0o600)); err != nil {
		t.Fatal(err)
	}
	best, why := Supported()
	t.Logf("this machine: %s (%s)", best, why)
	t.Setenv("GEHEIM", "geheim")
	for _, source := range []string{"file://" + film, "rtsp://127.0.0.1:1/x"} {
		for mode, want := range map[string]Level{camera.SandboxAuto: LevelFull, camera.SandboxSeccomp: LevelSeccomp} {
			if best == LevelOff || want == LevelFull && best != LevelFull {
				t.Logf("%s: not on this machine", mode)
				continue
			}
			mayNot(t, camera.Config{Name: secret, Source: source, Sandbox: mode, ROI: []string{film}}, want)
		}
	}
}

// mayNot holds what the child of c could do against what it may at a level.
func mayNot(t *testing.T, c camera.Config, want Level) {
	t.Helper()
	defer func(usual []string) { arguments = usual }(arguments)
	arguments = []string{Verb, "escape"}
	_, err := New(c).Open(soon(t))
	if err == nil || !errors.Is(err, camera.ErrLost) {
		t.Fatalf("%s, %s: %v", c.Source, want, err)
	}
	told := strings.Split(err.Error(), "|")
	if len(told) != 4 || Level(told[0]) != want {
		t.Fatalf("%s, %s: %v", c.Source, want, err)
	}
	var may []string
	for _, a := range attempts("", "") {
		if a.files && want == LevelSeccomp || a.network && c.Network() {
			may = append(may, a.name)
		}
	}
	if c.Network() && want == LevelFull {
		may = append(may, "not read the film: open "+c.ROI[0]+": permission denied")
	}
	if could := strings.Join(may, ","); told[1] != could {
		t.Errorf("%s, %s: a child could: %s, want %s", c.Source, want, told[1], could)
	}
	if told[2] != "" {
		t.Errorf("%s, %s: its environment is %q", c.Source, want, told[2])
	}
	for name := range strings.SplitSeq(told[3], ",") {
		ofGo := strings.HasPrefix(name, "/sys/fs/cgroup/") // its runtime keeps them open
		if !ofGo && !slices.Contains([]string{"/dev/null", "pipe", "socket", "anon_inode"}, name) {
			t.Errorf("%s, %s: it has the open file %s", c.Source, want, name)
		}
	}
	if n := strings.Count(told[3], "socket"); n != 1 {
		t.Errorf("%s, %s: it has %d sockets", c.Source, want, n)
	}
}

// The filter answers as its table says, also for calls that no test makes.
func TestPolicies(t *testing.T) {
	const self = 4711
	const no, yes = uint32(seccomp.ActionErrno), uint32(seccomp.ActionAllow)
	const enosys, eperm = no | uint32(unix.ENOSYS), no | uint32(unix.EPERM)
	file, network, device, wide := profile{}, profile{network: true}, profile{device: true}, profile{wide: true}
	for _, tt := range []struct {
		name string
		p    *profile
		nr   uint32
		args []uint64
		want uint32
	}{
		{"read", &file, unix.SYS_READ, nil, yes},
		{"a file for reading", &file, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDONLY | unix.O_CLOEXEC}, yes},
		{"for writing", &file, unix.SYS_OPENAT, []uint64{0, 0, unix.O_WRONLY}, eperm},
		{"for both", &file, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR}, eperm},
		{"new", &file, unix.SYS_OPENAT, []uint64{0, 0, unix.O_CREAT}, eperm},
		{"a device", &device, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR | unix.O_NONBLOCK}, yes},
		{"new beside a device", &device, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR | unix.O_CREAT}, eperm},
		{"ioctl of a device", &device, unix.SYS_IOCTL, []uint64{5, 0xc0145608}, yes},
		{"ioctl", &file, unix.SYS_IOCTL, []uint64{5, 0xc0145608}, eperm},
		{"how much there is", &file, unix.SYS_IOCTL, []uint64{5, fionread}, yes},
		{"a thread", &file, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD | unix.CLONE_VM}, yes},
		{"a process", &file, unix.SYS_CLONE, []uint64{uint64(unix.SIGCHLD)}, eperm},
		{"a thread elsewhere", &file, unix.SYS_CLONE, []uint64{unix.CLONE_THREAD | unix.CLONE_NEWUSER}, eperm},
		{"clone3", &file, unix.SYS_CLONE3, nil, enosys},
		{"openat2", &file, unix.SYS_OPENAT2, nil, enosys},
		{"a signal to itself", &file, unix.SYS_TGKILL, []uint64{self}, yes},
		{"to others", &file, unix.SYS_TGKILL, []uint64{1}, eperm},
		{"to all", &file, unix.SYS_TGKILL, []uint64{1<<64 - 1}, eperm},
		{"kill", &file, unix.SYS_KILL, []uint64{self}, eperm},
		{"limits of others", &file, unix.SYS_PRLIMIT64, []uint64{1}, eperm},
		{"its own", &file, unix.SYS_PRLIMIT64, []uint64{0}, yes},
		{"the priority of a thread", &file, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 0, 10}, yes},
		{"of others", &file, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_PROCESS, 1, 10}, eperm},
		{"of all", &file, unix.SYS_SETPRIORITY, []uint64{unix.PRIO_USER, 0, 10}, eperm},
		{"of others, with the number of openat", &file, unix.SYS_SETPRIORITY, []uint64{unix.SYS_OPENAT << 32}, eperm},
		{"a process, with the number of openat", &file, unix.SYS_CLONE, []uint64{unix.SYS_OPENAT}, eperm},
		{"for writing, with the number of socket", &network, unix.SYS_OPENAT,
			[]uint64{unix.AF_INET, 0, unix.SYS_SOCKET}, eperm},
		{"a name of a thread", &file, unix.SYS_PRCTL, []uint64{unix.PR_SET_NAME}, yes},
		{"another parent", &file, unix.SYS_PRCTL, []uint64{unix.PR_SET_PDEATHSIG}, eperm},
		{"a socket", &file, unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_STREAM}, eperm},
		{"connect", &file, unix.SYS_CONNECT, nil, eperm},
		{"of the network", &network, unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DGRAM}, yes},
		{"routes", &network, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE}, yes},
		{"audit", &network, unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT}, eperm},
		{"of this machine", &network, unix.SYS_SOCKET, []uint64{unix.AF_UNIX, unix.SOCK_STREAM}, eperm},
		{"a server", &network, unix.SYS_LISTEN, nil, eperm},
		{"connect of the network", &network, unix.SYS_CONNECT, nil, yes},
		{"wide: a file", &wide, unix.SYS_OPENAT, []uint64{0, 0, unix.O_RDWR}, yes},
		{"wide: ptrace", &wide, unix.SYS_PTRACE, nil, eperm},
		{"wide: exec", &wide, unix.SYS_EXECVE, nil, eperm},
		{"wide: a signal to itself", &wide, unix.SYS_TGKILL, []uint64{self}, yes},
		{"wide: to others", &wide, unix.SYS_TGKILL, []uint64{1}, eperm},
		{"wide: clone3", &wide, unix.SYS_CLONE3, nil, enosys},
	} {
		if got := runPolicies(t, tt.p, self, tt.nr, tt.args); got != tt.want {
			t.Errorf("%s: %#x, want %#x", tt.name, got, tt.want)
		}
	}
	if got := runPolicies(t, &file, self, 0x40000000|unix.SYS_READ, nil); got == yes { // x32
		t.Errorf("another ABI is allowed")
	}
}

// runPolicies runs the filters of a profile over one call, as the kernel does: one that refuses is enough.
func runPolicies(t *testing.T, p *profile, self int, nr uint32, args []uint64) uint32 {
	t.Helper()
	data := make([]byte, 64) // struct seccomp_data; the machine of x/net/bpf reads it big-endian
	put := func(at int, v uint32) {
		data[at], data[at+1], data[at+2], data[at+3] = byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
	}
	put(0, nr)
	put(4, auditArch)
	for i, v := range args {
		put(16+8*i, uint32(v))
		put(20+8*i, uint32(v>>32))
	}
	verdict := uint32(seccomp.ActionAllow)
	for _, policy := range policiesOf(p, self) {
		program, err := policy.Assemble()
		if err != nil {
			t.Fatal(err)
		}
		vm, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		out, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		verdict = min(verdict, uint32(out))
	}
	return verdict
}
