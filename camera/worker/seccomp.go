package worker

import (
	"fmt"
	"os"
	"slices"
	"strings"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the calls that Go's runtime, the C library, a decoder and this package need, whatever
// the source; each only where the architecture has it. All others fail with EPERM.
const allowed = `
read readv pread64 preadv preadv2 write writev pwrite64 close close_range lseek fstat newfstatat stat lstat statx
access faccessat faccessat2 readlink readlinkat getdents64 getcwd fcntl dup dup2 dup3 pipe pipe2 eventfd eventfd2
fadvise64 readahead statfs fstatfs umask
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 poll ppoll select pselect6
timerfd_create timerfd_settime timerfd_gettime
mmap munmap mprotect mremap madvise mincore msync membarrier mlock munlock brk
futex futex_wait futex_wake futex_waitv futex_requeue set_robust_list get_robust_list rseq set_tid_address
gettid getpid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getpgid getsid
sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getpriority nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack getrandom uname sysinfo getrusage times getrlimit
getcpu exit exit_group restart_syscall arch_prctl
recvmsg recvfrom sendmsg sendto shutdown`

// ofNetwork are those of a network camera beside them; socket is allowed for the internet alone.
const ofNetwork = `connect bind getsockname getpeername getsockopt setsockopt recvmmsg sendmmsg`

// missing are those that a library does without where the kernel seems too old for them.
const missing = `clone3 openat2`

// refused are what even a wide profile does not need.
const refused = `
ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd pidfd_send_signal kill tkill
rt_sigqueueinfo rt_tgsigqueueinfo kcmp execve execveat fork vfork unshare setns clone3
mount umount2 move_mount fsopen fsmount fsconfig fspick open_tree mount_setattr pivot_root chroot
bpf perf_event_open userfaultfd keyctl add_key request_key io_uring_setup io_uring_enter io_uring_register
init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl syslog
settimeofday clock_settime clock_adjtime adjtimex setuid setgid setreuid setregid setresuid setresgid setgroups
setfsuid setfsgid capset personality`

const (
	opensToWrite = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | 0o20000000 // O_TMPFILE
	makesFiles   = unix.O_CREAT | unix.O_TRUNC | unix.O_APPEND | 0o20000000
	prSetVMA     = 0x53564d41
)

// known are the names in text that this architecture has.
func known(text string) (names []string) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	for name := range strings.FieldsSeq(text) {
		if _, ok := info.SyscallNames[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// exception is a call that is refused with certain arguments: where all conditions of one set hold.
type exception struct {
	call string
	sets []seccomp.ArgumentConditions
}

// all is one set of conditions.
func all(conditions ...seccomp.Condition) []seccomp.ArgumentConditions {
	return []seccomp.ArgumentConditions{conditions}
}

// not is the condition that an argument is none of values.
func not(argument uint32, values ...uint64) (conditions []seccomp.Condition) {
	for _, v := range values {
		conditions = append(conditions, seccomp.Condition{Argument: argument, Operation: seccomp.NotEqual, Value: v})
	}
	return conditions
}

func with(argument uint32, bits uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.BitsSet, Value: bits}
}

// exceptions are the calls that depend on their arguments: threads, but no processes; files for
// reading; signals to itself.
func exceptions(p *profile, self int) []exception {
	const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID |
		unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	own, files := uint64(self), uint64(opensToWrite)
	if p.device {
		files = makesFiles
	}
	calls := []exception{
		{"clone", append(all(with(0, namespaces)), seccomp.ArgumentConditions{
			{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD}})},
		{"tgkill", all(not(0, own)...)},
		{"prlimit64", all(not(0, 0, own)...)},
		{"setpriority", append(all(not(0, unix.PRIO_PROCESS)...), not(1, 0))}, // but of this thread
		{"prctl", all(not(0, unix.PR_SET_NAME, unix.PR_GET_NAME, prSetVMA, unix.PR_GET_DUMPABLE)...)},
		{"socketpair", all(not(0, unix.AF_UNIX)...)}, // GStreamer wakes itself with it
		{"open", all(with(1, files))},
		{"openat", all(with(2, files))},
	}
	if !p.device {
		calls = append(calls, exception{"ioctl", all(not(1, fionread, unix.TCGETS, fionbio)...)})
	}
	if p.network {
		internet := not(0, unix.AF_INET, unix.AF_INET6)
		calls = append(calls, exception{"socket", append(all(slices.Concat(internet, not(0, unix.AF_NETLINK))...),
			slices.Concat(internet, not(2, unix.NETLINK_ROUTE)))})
	}
	return calls
}

// ioctl of every descriptor: how much there is to read, and not to wait for it.
const (
	fionread = 0x541b
	fionbio  = 0x5421
)

// policiesOf are the filters of a profile, for a process of the given number; a call needs the consent
// of all. None looks at the arguments of two calls: where those of one do not match, go-seccomp-bpf 1.6
// goes on to compare the argument with the numbers of the others, and not the number of the call.
func policiesOf(p *profile, self int) []seccomp.Policy {
	nosys := seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
	if p.wide {
		other := seccomp.NameWithConditions{Name: "tgkill", Conditions: not(0, uint64(self))}
		return []seccomp.Policy{{DefaultAction: seccomp.ActionAllow, Syscalls: []seccomp.SyscallGroup{
			{Action: nosys, Names: known(missing)},
			{Action: seccomp.ActionErrno, Names: known(strings.ReplaceAll(refused, "clone3", "")),
				NamesWithCondtions: []seccomp.NameWithConditions{other}},
		}}}
	}
	names := allowed
	if p.device {
		names += " ioctl"
	}
	if p.network {
		names += " " + ofNetwork
	}
	var policies []seccomp.Policy
	for _, e := range exceptions(p, self) {
		if len(known(e.call)) == 0 {
			continue
		}
		names += " " + e.call
		var sets []seccomp.NameWithConditions
		for _, set := range e.sets {
			sets = append(sets, seccomp.NameWithConditions{Name: e.call, Conditions: set})
		}
		policies = append(policies, seccomp.Policy{DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, NamesWithCondtions: sets}}})
	}
	return append(policies, seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: []seccomp.SyscallGroup{
		{Action: nosys, Names: known(missing)},
		{Action: seccomp.ActionAllow, Names: known(names)},
	}})
}

// restrictCalls takes all system calls but those of the profile from every thread of this process.
func restrictCalls(p *profile) error {
	for i, policy := range policiesOf(p, os.Getpid()) {
		first := i == 0 // one of the others refuses the call that takes new privileges
		err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: first, Flag: seccomp.FilterFlagTSync, Policy: policy})
		if err != nil {
			return fmt.Errorf("seccomp: %w", err)
		}
	}
	return everyThread()
}

// everyThread looks whether each thread has the filter: the kernel may have found one that cannot.
func everyThread() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	for _, task := range tasks {
		text, err := os.ReadFile("/proc/self/task/" + task.Name() + "/status")
		if err == nil && !strings.Contains(string(text), "\nSeccomp:\t2") {
			return fmt.Errorf("seccomp: thread %s has no filter", task.Name())
		}
	}
	return nil
}

// seccompThere reports whether this process may have a filter.
func seccompThere() bool { return seccomp.Supported() }
