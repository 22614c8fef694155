package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/landlock"
	"github.com/vggse/vggse-agent/internal/selfexec"
	"github.com/vggse/vggse-agent/onnx"
)

// foreignVerb is the process that runForeignInChild starts.
const foreignVerb = "run-foreign"

// Descriptors of that process: memory with the job, and for the answers.
const (
	foreignJob     = 3
	foreignAnswers = 4
)

// answersLimit is the most that the answers may take.
const answersLimit = 1 << 30

// newForeignCmd runs a model file that nobody has run before. It sees that file, its weights and the
// libraries, writes no file, starts no process and reaches no network, where the kernel has Landlock
// and seccomp.
func newForeignCmd() *cobra.Command {
	return &cobra.Command{
		Use: foreignVerb, Short: "Run a model file as it came (for the agent itself)", Hidden: true,
		Args: exactArgs(0, "a job as a file that is open"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var job infer.ForeignJob
			memory := os.NewFile(foreignJob, "job")
			defer memory.Close() // not sooner, by the garbage collector: the next stage reads it, too
			if _, err := memory.Seek(0, io.SeekStart); err != nil {
				return fmt.Errorf("%s is for the agent itself: %w", foreignVerb, err)
			}
			if err := job.Read(bufio.NewReader(memory)); err != nil {
				return fmt.Errorf("reading the job: %w", err)
			}
			if !lockedIn() {
				return fmt.Errorf("cannot start again with fewer rights: %w", lockIn(filesOf(&job)))
			}
			most := unix.Rlimit{Cur: answersLimit, Max: answersLimit}
			unix.Setrlimit(unix.RLIMIT_FSIZE, &most)         //nolint:errcheck // it can always be lowered
			unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) //nolint:errcheck // likewise
			worker.ReadOnly()                                //nolint:errcheck // older kernels have no seccomp
			answers, err := infer.RunForeign(cmd.Context(), infer.Config{}, &job)
			out := bufio.NewWriter(os.NewFile(foreignAnswers, "answers"))
			return errors.Join(infer.WriteAnswers(out, answers, err), out.Flush())
		},
	}
}

// filesOf are the files that a job may see: the model file, those with its weights, the libraries of
// this process and the system's, and what they ask about the machine.
func filesOf(job *infer.ForeignJob) []landlock.Rule {
	const library = landlock.ReadFolder | landlock.Execute
	rules := []landlock.Rule{{Path: job.Path, Access: landlock.ReadFolder},
		{Path: "/dev/null", Access: landlock.UseDevice}}
	weights, err := onnx.ExternalFiles(job.Path)
	if err != nil {
		weights = nil // ONNX Runtime says what is wrong with it
	}
	for _, name := range weights {
		rules = append(rules, landlock.Rule{Path: filepath.Join(filepath.Dir(job.Path), name),
			Access: landlock.ReadFolder})
	}
	for _, path := range append(mapped(), "/usr", "/lib", "/lib64", "/nix/store", "/etc/ld.so.cache", "/proc/self") {
		rules = append(rules, landlock.Rule{Path: path, Access: library})
	}
	for _, path := range append(filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")), filepath.Dir(job.Library),
		os.Getenv("ORT_SHIM"), "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/version",
		"/sys/devices/system", "/sys/kernel/mm/transparent_hugepage", "/sys/fs/cgroup", "/dev/urandom") {
		rules = append(rules, landlock.Rule{Path: path, Access: landlock.ReadFolder})
	}
	return rules
}

// mapped are the files that this process has in memory: the program and its libraries.
func mapped() (files []string) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil
	}
	defer maps.Close()
	seen := map[string]bool{}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		at := strings.Index(lines.Text(), "/")
		if at < 0 || seen[lines.Text()[at:]] {
			continue
		}
		seen[lines.Text()[at:]] = true
		files = append(files, lines.Text()[at:])
	}
	return files
}

// runForeignInChild is infer.RunForeign in a process of its own, which may do less than this one: a
// file that nobody has run yet may crash ONNX Runtime, or hang in it.
func runForeignInChild(ctx context.Context, c infer.Config, job *infer.ForeignJob) ([][]float32, error) {
	library, shim, err := infer.Locate(c)
	if err != nil {
		return nil, err
	}
	own := *job
	own.Library = library
	if own.Path, err = filepath.Abs(job.Path); err != nil {
		return nil, err
	}
	env := []string{"LD_LIBRARY_PATH=" + os.Getenv("LD_LIBRARY_PATH")}
	if shim != "" {
		env = append(env, "ORT_SHIM="+shim)
	}
	asked, err := memory("job")
	if err != nil {
		return nil, err
	}
	defer asked.Close()
	answered, err := memory("answers")
	if err != nil {
		return nil, err
	}
	defer answered.Close()
	out := bufio.NewWriter(asked)
	if err := errors.Join(own.Write(out), out.Flush()); err != nil {
		return nil, err
	}
	if _, err := selfexec.RunIn(ctx, "/", env, []string{foreignVerb}, asked, answered); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%w: %w", importer.ErrCrashed, err)
	}
	if _, err := answered.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return infer.ReadAnswers(bufio.NewReader(answered), answersLimit)
}

// memory is a file without a name.
func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}
