package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggse/vggse-agent/camera/worker"
)

// Bounds of one fuzzed command line.
const (
	verbPatience = 4 * time.Second  // how long a verb may work before it is asked to stop
	verbGrace    = 45 * time.Second // how long it may take to stop, on a busy machine
	verbMemory   = 3 << 20          // KiB

	// The worker of 'go test -fuzz' that has not done with an input after 10 s is killed, and the input blamed.
	// There a verb has less time, and one that needed more is tried again when the fuzzing has ended.
	workerPatience = 3 * time.Second
	workerLimit    = 7 * time.Second // of the whole input
	workerWait     = time.Second
	lateMost       = 20 // inputs that are tried again, at most
	lateFolder     = "VGGSE_TEST_LATE_VERBS"
)

var (
	lines    = flag.Uint64("lines", 10, "command lines that FuzzVerbs tries without -fuzz")
	onlyVerb = flag.String("verb", "", "the verb that FuzzVerbs tries, such as \"release pull\"; empty: all")
)

// world makes a folder with what a command line may name: good and damaged files of every kind,
// pipes, links that lead nowhere, a file of a terabyte without content.
func world(t testing.TB, bundle, pictures string) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(i*i>>3 ^ i)
	}
	network, err := os.ReadFile(filepath.Join(bundle, "fp32.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.CopyFS(at("bundle"), os.DirFS(bundle)), os.CopyFS(at("pictures"), os.DirFS(pictures)),
		os.CopyFS(at("spoilt"), os.DirFS(bundle)), os.Mkdir(at("folder"), 0o755), os.Mkdir(at("home"), 0o755),
		syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("nowhere", at("dangling")), os.Symlink("loop", at("loop")),
		os.Symlink("bundle", at("link")), os.WriteFile(at("half.onnx"), network[:len(network)/2], 0o644),
		os.WriteFile(at("huge.onnx"), nil, 0o644), os.Truncate(at("huge.onnx"), 1<<40))
	for name, text := range map[string]string{
		"empty": "", "noise": string(noise), "noise.pth": "PK\x03\x04" + string(noise),
		"noise.onnx":        "\x08\x08" + string(noise),
		"noise.safetensors": "\xff\x00\x00\x00\x00\x00\x00\x00" + string(noise), "noise.vggse": string(noise),
		"noise.whl": "PK\x05\x06" + string(noise), "noise.tgz": "\x1f\x8b\x08" + string(noise),
		"noise.mp4": string(noise), "labels.txt": "a\nb\nc\n", "good.yaml": "device: {id: x}\nhttp: {listen: off}\n",
		"bad.yaml": "mqtt: [\n", "spoilt/model.yaml": "schema: vggse.bundle/1\nlabels: {}\n",
		"pictures/a/noise.png": "\x89PNG\r\n\x1a\n" + string(noise), "folder/sub": "", "state/models/state.json": "{",
		"state/spool/stream": string(noise), "state/settings.json": "[]",
	} {
		err = errors.Join(err, os.MkdirAll(filepath.Dir(at(name)), 0o755), os.WriteFile(at(name), []byte(text), 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// words are what takes the place of an argument, or of a flag's text.
var words = append(strings.Fields(`
bundle link spoilt pictures folder pipe dangling loop half.onnx huge.onnx empty noise noise.pth noise.onnx
noise.safetensors noise.vggse noise.whl noise.tgz noise.mp4 labels.txt good.yaml bad.yaml bundle/fp32.onnx
bundle/model.yaml pictures/a/noise.png new new/deep/er . folder/sub/x state state/spool nowhere nowhere/x - --
a,b,c a=b,c torchvision cpu tensorrt int8 fp32 auto none text debug 0 1 -1 2x 0.5pt 1e999 NaN 1h 9999999999999999999
embedded tcp://127.0.0.1:9 ssl://127.0.0.1:9 demo://parts?fps=5 demo:// file://noise.mp4 file://pipe
rtsp://127.0.0.1:9/x v4l2:///dev/nothing oci:folder tar:noise 127.0.0.1:9/x/y 127.0.0.1:0 off 0123abcd %s%n $(x)
../../../.. file:///../pipe?loop=-1 sets:1 * [ 日本語`),
	"", " ", "a\nb", "\x1b[2J", "\xff\xfe", "gst:nosuch ! x", strings.Repeat("long/", 2000), strings.Repeat("x", 300))

var numbers = append(strings.Fields("0 1 -1 2 7 9223372036854775807 -9223372036854775808 1e3 0.1 NaN Inf x"), "")

var spans = []string{"0s", "1ms", "1s", "-1s", "9999999h", "1", "x", ""}

// verbs are all commands of the program that do something, hidden ones included.
func verbs(c *cobra.Command) (all []*cobra.Command) {
	for _, sub := range c.Commands() {
		all = append(all, verbs(sub)...)
	}
	if c.Runnable() && c.HasParent() {
		all = append(all, c)
	}
	return all
}

// sound are command lines that work, or nearly.
var sound = strings.Split(strings.TrimSpace(`
classify --bundle bundle --json --top 2 pictures
classify --bundle bundle --csv pictures/a/noise.png pictures
calibrate --bundle bundle --images pictures --out new --min-agreement 0 --method minmax
calibrate --bundle bundle --images pictures --check
calibrate --bundle bundle --camera demo:// --frames 3 --out new
prune bundle --images pictures --target 1.2x --out new
evaluate bundle --images pictures --against link --out new
features bundle --images pictures --out new.safetensors
teach bundle --images pictures --add-only --out new
import bundle/fp32.onnx --labels a,b,c --preprocess torchvision --out new
import noise.pth --labels labels.txt --out new
import spoilt --out new
new --out new --classes 2 --width 0.125 --input 32
summary bundle --json
verify bundle --json
inspect noise.safetensors
inspect bundle/fp32.onnx
compare bundle pictures/a/noise.png
bundle pack bundle --out new.vggse
bench bundle --seconds 0.1 --provider cpu --precision fp32
build bundle
model install bundle --set state_dir=new
model list --set state_dir=state
model activate 0123 --set state_dir=state
model remove 0123 --set state_dir=state
cameras
cameras test demo:// --frames 2 --save new
cameras test file://noise.mp4 --frames 2
check-config good.yaml
doctor --set state_dir=state
demo-data --out new --n 3 --seed 1
spool stat state/spool
spool peek state/spool
spool verify state/spool
spool repair state/spool
runtime install noise.whl
runtime install folder
runtime list
runtime use x
runtime remove x
schema
man --out new
version --json
record-end --set state_dir=state
run --config good.yaml --source demo:// --bundle bundle --set mqtt.broker=tcp://127.0.0.1:9 --set state_dir=state
run --config good.yaml --source file://pictures --bundle link --broker embedded --listen 127.0.0.1:0
watch --broker tcp://127.0.0.1:9 --json
release keygen --out new --password-file labels.txt
release verify bundle
release sign bundle --key new --release 1 --password-file labels.txt
release push bundle folder/r
release pull folder/r
release push bundle tar:new.tar
release status
release pull tar:noise --set state_dir=new
completion bash
look-at-runtime noise
rollback --set state_dir=state
fleet status --broker tcp://127.0.0.1:9 --group x
fleet rollout a:1 --group x --broker tcp://127.0.0.1:9 --hold 1ms
fleet halt --group x --broker tcp://127.0.0.1:9
fleet back --group x --broker tcp://127.0.0.1:9
prepare-engine
`), "\n")

// spoil exchanges some words of a command line that works.
func spoil(r *rand.Rand, args []string) []string {
	for range 1 + r.IntN(2) {
		i := 1 + r.IntN(len(args))
		word := words[r.IntN(len(words))]
		switch {
		case i == len(args) || r.IntN(8) == 0:
			args = slices.Insert(args, i, word)
		case strings.HasPrefix(args[i], "--") && r.IntN(2) == 0:
			args = slices.Delete(args, i, i+1)
		case strings.Contains(args[i], "=") && r.IntN(2) == 0:
			key, _, _ := strings.Cut(args[i], "=")
			args[i] = key + "=" + word
		default:
			args[i] = word
		}
	}
	return args
}

// verbsAsked are those that -verb means.
func verbsAsked() []*cobra.Command {
	return slices.DeleteFunc(verbs(newRoot()), func(c *cobra.Command) bool {
		return !strings.HasPrefix(c.CommandPath(), strings.TrimSpace("vggse-agent "+*onlyVerb))
	})
}

// commandLine makes one up: a verb, some of its flags, some words.
func commandLine(r *rand.Rand) []string {
	lines := slices.DeleteFunc(slices.Clone(sound), func(line string) bool {
		return !strings.HasPrefix(line, *onlyVerb)
	})
	if len(lines) > 0 && r.IntN(3) > 0 {
		return spoil(r, strings.Fields(lines[r.IntN(len(lines))]))
	}
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	all := verbsAsked()
	if *onlyVerb == "" && r.IntN(60) == 0 {
		return []string{worker.Verb}
	}
	verb := all[r.IntN(len(all))]
	args := strings.Fields(verb.CommandPath())[1:]
	var flags []*pflag.Flag
	verb.InheritedFlags()
	verb.Flags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f) })
	for range r.IntN(5) {
		f := flags[r.IntN(len(flags))]
		value := pick(words)
		switch f.Value.Type() {
		case "bool":
			args = append(args, "--"+f.Name)
			continue
		case "int", "int64", "uint", "uint64", "float64":
			value = pick(numbers)
		case "duration":
			value = pick(spans)
		case "stringArray":
			value = pick(settingKeys) + "=" + pick(append(slices.Clone(words), numbers...))
		}
		args = append(args, "--"+f.Name+"="+value)
	}
	for range r.IntN(4) {
		args = append(args, pick(words))
	}
	return args
}

// settingKeys are settings that verbs read.
var settingKeys = strings.Fields(`
state_dir cache_dir model.bundle model.precision infer.library infer.threads infer.max_batch infer.providers
mqtt.broker mqtt.password_file mqtt.user mqtt.tls.ca http.listen http.token_file cameras.0.source
cameras.0.fps cameras.0.roi device.id decide.top_k decide.threshold model.trust update.from samples.dir
log.level mqtt.spool.bytes x`)

var goStack = regexp.MustCompile(`(?m)^(panic:|fatal error:|goroutine \d+|SIG[A-Z]+: )|runtime error:`)

// unfinishedName is what is written aside.
var unfinishedName = regexp.MustCompile(`unfinished|incoming`)

// judge is what hears of a verb that does what none does: a test, or the fuzzing as a whole.
type judge interface {
	Helper()
	Errorf(format string, args ...any)
}

// tryVerb runs one command line in a world of its own, and says what it did that no verb does. It is asked to stop
// after patience, and killed after grace; in a worker of the fuzzer, which waits for a second then, nothing is said
// of a verb that was killed, but that it was late.
func tryVerb(t judge, dir string, args []string, stdin string, patience, grace time.Duration, worker bool) (late bool) {
	t.Helper()
	if slices.ContainsFunc(args, func(a string) bool { return strings.Contains(a, "\x00") }) {
		return false
	}
	child := exec.Command(os.Args[0], args...)
	child.Dir, child.Stdin = dir, strings.NewReader(stdin)
	home := filepath.Join(dir, "home")
	child.Env = []string{"TEST_AS_VGGSE_AGENT=1", "HOME=" + home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + home,
		"ORT_LIB=" + os.Getenv("ORT_LIB"), "VGGSE_HTTP_LISTEN=off", "XDG_STATE_HOME=" + filepath.Join(dir, "state")}
	var out, errs bytes.Buffer
	child.Stdout, child.Stderr = &out, &errs
	child.WaitDelay = 5 * time.Second
	last := syscall.SIGABRT
	if worker {
		child.WaitDelay, last = workerWait, syscall.SIGKILL
	}
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return false // an argument that no program gets
	}
	ask := time.AfterFunc(patience, func() { child.Process.Signal(syscall.SIGTERM) })
	kill := time.AfterFunc(patience+grace, func() { child.Process.Signal(last) })
	child.Wait()
	ask.Stop()
	what := fmt.Sprintf("%q < %.60q", args, stdin)
	switch late = !kill.Stop(); {
	case late && worker:
		return true
	case late:
		t.Errorf("%s hangs: %.3000s", what, errs.Bytes())
	}
	code := child.ProcessState.ExitCode()
	if child.ProcessState.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		code = exitFailed // so slow a machine that main had not begun
	}
	if !slices.Contains([]int{exitDone, exitFailed, exitUsage, exitGate, exitRestart, exitConfig}, code) ||
		goStack.Match(errs.Bytes()) {
		t.Errorf("%s: exit %d: %.3000s", what, code, errs.Bytes())
	}
	if rss := child.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; rss > verbMemory {
		t.Errorf("%s: took %d MiB", what, rss>>10)
	}
	filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if unfinishedName.MatchString(filepath.Base(path)) {
			t.Errorf("%s left %s: %.300s", what, path, errs.Bytes())
		}
		return nil
	})
	return late
}

// stdins are what a verb reads that asks, or is for the agent itself.
var stdins = []string{"", "\n", "{}", "y\ny\n", "\xff\x00[", "null",
	`{"Network":{"Path":"noise.onnx","Size":[-1,9]},"Provider":"cpu"}`}

// FuzzVerbs: no command line brings down a verb, makes it hang or deaf, take all memory, or leave
// something half done behind.
func FuzzVerbs(f *testing.F) {
	pictures := filepath.Join(f.TempDir(), "pictures")
	bundle := filepath.Join(f.TempDir(), "bundle")
	for _, args := range [][]string{
		{"new", "--out", bundle, "--classes", "3", "--width", "0.125", "--input", "32", "--hidden", "4", "--pool", "1",
			"--reduction", "4"},
		{"demo-data", "--out", pictures, "--n", "5"},
	} {
		var errs bytes.Buffer
		if code := execute(f.Context(), args, new(bytes.Buffer), &errs); code != exitDone {
			f.Fatalf("%v: %s", args, errs.Bytes())
		}
	}
	if len(verbsAsked()) == 0 {
		f.Fatalf("-verb %q is none of %q", *onlyVerb, pathsOf(verbs(newRoot())))
	}
	for seed := range *lines {
		f.Add(seed)
	}
	worker, fuzzing := flagSet("test.fuzzworker"), flagSet("test.fuzz")
	folder := os.Getenv(lateFolder)
	if fuzzing && !worker {
		folder = f.TempDir()
		f.Setenv(lateFolder, folder) // workers get it
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		begin := time.Now()
		args, stdin := fuzzed(seed)
		dir := world(t, bundle, pictures)
		if !worker {
			tryVerb(t, dir, args, stdin, verbPatience, verbGrace, false)
			return
		}
		left := workerLimit - time.Since(begin)
		if left < workerPatience || tryVerb(t, dir, args, stdin, workerPatience, left-workerPatience, true) {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(seed)), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	if fuzzing && !worker {
		tryLate(f, folder, func() string { return world(f, bundle, pictures) })
	}
}

// fuzzed is the command line of a seed, and what it reads.
func fuzzed(seed uint64) (args []string, stdin string) {
	r := rand.New(rand.NewPCG(seed, 1))
	args = commandLine(r)
	return args, stdins[r.IntN(len(stdins))]
}

// tryLate gives all the time of a test to the inputs that were late in the fuzzer's workers, whose seeds are the names
// of files in folder.
func tryLate(f *testing.F, folder string, world func() string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		f.Fatal(err)
	}
	for i, e := range entries {
		if i == lateMost {
			f.Logf("of %d inputs that were late %d were not tried again", len(entries), len(entries)-i)
			break
		}
		seed, err := strconv.ParseUint(e.Name(), 10, 64)
		if err != nil {
			f.Fatal(err)
		}
		args, stdin := fuzzed(seed)
		f.Logf("late, and tried again: seed %d, %.300q", seed, args)
		tryVerb(f, world(), args, stdin, verbPatience, verbGrace, false)
	}
}

// flagSet reports whether a flag of the test is set.
func flagSet(name string) bool {
	given := flag.Lookup(name)
	return given != nil && given.Value.String() != given.DefValue
}

func pathsOf(commands []*cobra.Command) (paths []string) {
	for _, c := range commands {
		paths = append(paths, strings.TrimPrefix(c.CommandPath(), "vggse-agent "))
	}
	return paths
}
