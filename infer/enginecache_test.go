package infer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// builder stands for a GPU's provider: it writes files, and counts.
type builder struct {
	builds atomic.Int32
	extra  func(ctx context.Context, j Job) error
}

func (b *builder) prepare(ctx context.Context, j Job) error {
	b.builds.Add(1)
	if b.extra != nil {
		if err := b.extra(ctx, j); err != nil {
			return err
		}
	}
	weights, err := os.ReadFile(j.Network.Path)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(j.Dir, "network.engine"), append([]byte("engine of "), weights...),
		0o644),
		os.WriteFile(filepath.Join(j.Dir, placementFile), []byte(`{"nodes":{"tensorrt":1}}`), 0o644))
}

// bench is a cache in folders of its own, with a network.
type bench struct {
	*Engines
	builder
	t     *testing.T
	told  []Building
	entry entry
	job   Job
}

func newBench(t *testing.T) *bench {
	dir := t.TempDir()
	b := &bench{t: t}
	b.Engines = &Engines{Cache: filepath.Join(dir, "cache", "engines"), State: filepath.Join(dir, "state"),
		Prepare: b.prepare,
		Tell:    func(s Building) { b.told = append(b.told, s) }}
	b.network("network", "weights")
	return b
}

// network makes the model file that entry and job are of.
func (b *bench) network(name, weights string) {
	b.t.Helper()
	path := filepath.Join(filepath.Dir(b.State), name+".onnx")
	if err := os.WriteFile(path, []byte(weights), 0o644); err != nil {
		b.t.Fatal(err)
	}
	sum, err := atomicfile.HashFile(b.t.Context(), path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.entry = entryFor(TensorRT, sum, "1.27.0", gpuFacts{TensorRT: "10.3.0", Major: 10, Arch: "sm_87"}, "int8",
		map[string]string{"a": "1"})
	b.job = Job{Provider: TensorRT, Network: ModelFile{Path: path, Precision: "int8"}}
}

func (b *bench) ready(want int32) string {
	b.t.Helper()
	dir, err := b.Engines.ready(b.t.Context(), b.entry, b.job)
	if err != nil {
		b.t.Fatal(err)
	}
	if n := b.builds.Load(); n != want {
		b.t.Errorf("%d builds, want %d", n, want)
	}
	engine, err := os.ReadFile(filepath.Join(dir, "network.engine"))
	weights, err2 := os.ReadFile(b.job.Network.Path)
	if err := errors.Join(err, err2); err != nil || string(engine) != "engine of "+string(weights) {
		b.t.Errorf("the engine is %q, %v: not of %q", engine, err, weights)
	}
	return dir
}

// TestEngineIsOfItsModel: two networks of one shape and name have an engine each.
func TestEngineIsOfItsModel(t *testing.T) {
	b := newBench(t)
	first := b.ready(1)
	if again := b.ready(1); again != first {
		t.Errorf("the second start goes to %s, not to %s", again, first)
	}
	b.network("network", "other weights")
	if other := b.ready(2); other == first {
		t.Error("a retrained network got the engine of the one before")
	}
	if len(b.told) != 4 || b.told[0].Done || !b.told[1].Done || b.told[2].Last <= 0 {
		t.Errorf("told %+v, want begin and end of two builds, the second with the time of the first", b.told)
	}
	for path := first; path != filepath.Dir(filepath.Dir(b.Cache)); path = filepath.Dir(path) {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, %v, want 0700", path, info.Mode(), err)
		}
	}
	if info, err := os.Stat(filepath.Join(first, "network.engine")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the engine: %v, %v, want 0600", info.Mode(), err)
	}
}

func TestEntryFor(t *testing.T) {
	orin := gpuFacts{TensorRT: "10.3.0", Major: 10, Arch: "sm_87"}
	net := &ModelFile{Input: "input", Size: 224, Precision: "int8"}
	options := tensorRTOptions(orin, net, 1, "/somewhere")
	base := entryFor(TensorRT, "aa", "1.23.2", orin, "int8", options)
	if want := "aa/1.23.2-trt10.3.0-sm_87-int8-"; !strings.HasPrefix(base.String(), want) {
		t.Errorf("entry %s, want %s…", base, want)
	}
	if moved := entryFor(TensorRT, "aa", "1.23.2", orin, "int8",
		tensorRTOptions(orin, net, 1, "/elsewhere")); moved != base {
		t.Errorf("another folder changes the key: %s", moved)
	}
	small := orin
	small.Memory = 4 << 30
	for what, other := range map[string]entry{
		"model":   entryFor(TensorRT, "bb", "1.23.2", orin, "int8", options),
		"runtime": entryFor(TensorRT, "aa", "1.24.0", orin, "int8", options),
		"TensorRT": entryFor(TensorRT, "aa", "1.23.2", gpuFacts{TensorRT: "10.4.0", Major: 10, Arch: "sm_87"}, "int8",
			options),
		"GPU": entryFor(TensorRT, "aa", "1.23.2", gpuFacts{TensorRT: "10.3.0", Major: 10, Arch: "sm_110"},
			"int8", options),
		"precision": entryFor(TensorRT, "aa", "1.23.2", orin, "fp16", options),
		"options":   entryFor(TensorRT, "aa", "1.23.2", orin, "int8", tensorRTOptions(small, net, 1, "")),
		"batch":     entryFor(TensorRT, "aa", "1.23.2", orin, "int8", tensorRTOptions(orin, net, 4, "")),
		"provider":  entryFor(CUDA, "aa", "1.23.2", orin, "int8", nil),
	} {
		if other == base {
			t.Errorf("another %s has the same key %s", what, other)
		}
	}
	if hostile := entryFor(TensorRT, "aa", "../../x", gpuFacts{}, "", nil); strings.Contains(hostile.variant, "/") {
		t.Errorf("key %q leads elsewhere", hostile.variant)
	}
}

// TestChangedEngineIsNeverLoaded: whatever differs from what was pinned is made again.
func TestChangedEngineIsNeverLoaded(t *testing.T) {
	for name, change := range map[string]func(b *bench, dir string) error{
		"a flipped byte": func(_ *bench, dir string) error {
			path := filepath.Join(dir, "network.engine")
			text, err := os.ReadFile(path)
			text[3] ^= 1
			return errors.Join(err, os.WriteFile(path, text, 0o600))
		},
		"a cut file": func(_ *bench,
			dir string) error {
			return os.Truncate(filepath.Join(dir, "network.engine"), 3)
		},
		"a file that is new": func(_ *bench, dir string) error {
			return os.WriteFile(filepath.Join(dir, "x.engine"),
				nil, 0o600)
		},
		"a file that is not there": func(_ *bench, dir string) error {
			return os.Remove(filepath.Join(dir, placementFile))
		},
		"no entry":     func(_ *bench, dir string) error { return os.RemoveAll(dir) },
		"no pins":      func(b *bench, _ string) error { return os.Remove(b.pinFile()) },
		"damaged pins": func(b *bench, _ string) error { return os.WriteFile(b.pinFile(), []byte("{"), 0o600) },
		"a dead building": func(_ *bench, dir string) error {
			return errors.Join(os.RemoveAll(dir), os.Mkdir(dir+".building", 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			dir := b.ready(1)
			if err := change(b, dir); err != nil {
				t.Fatal(err)
			}
			b.ready(2)
			b.ready(2)
			if why := b.told[2].Why; why == "" {
				t.Error("the second build has no reason")
			} else {
				t.Log(why)
			}
		})
	}
}

// TestWrongFileIsNotBuilt: an engine never counts for a digest that its file does not have.
func TestWrongFileIsNotBuilt(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.job.Network.Path, []byte("damaged"), 0o644); err != nil {
		t.Fatal(err)
	}
	var broken *modelError
	if _, err := b.Engines.ready(t.Context(), b.entry, b.job); !errors.As(err, &broken) || b.builds.Load() != 0 {
		t.Errorf("ready = %v after %d builds, want the file's fault and none", err, b.builds.Load())
	}
}

// TestConcurrentStarts build once: the others wait for the first.
func TestConcurrentStarts(t *testing.T) {
	b := newBench(t)
	b.Tell = nil
	var started atomic.Int32
	b.extra = func(context.Context, Job) error {
		for end := time.Now().Add(time.Minute); started.Load() < 6 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond) // for as many as can to wait
		return nil
	}
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			started.Add(1)
			if _, err := b.Engines.ready(t.Context(), b.entry, b.job); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	b.ready(1)
}

// TestFailedBuildLeavesNothing, and the next start tries again.
func TestFailedBuildLeavesNothing(t *testing.T) {
	b := newBench(t)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{syscall.ENOSPC, "no space left"},
		{errors.New("Failed to allocate memory for requested buffer"), "memory ran out while the engine was built"},
		{errSelfTest, "self-test"},
	} {
		b.extra = func(_ context.Context, j Job) error {
			return errors.Join(os.WriteFile(filepath.Join(j.Dir, "half.engine"), nil, 0o600), tt.err)
		}
		dir, err := b.Engines.ready(t.Context(), b.entry, b.job)
		if err == nil || !strings.Contains(err.Error(), tt.want) || dir != "" {
			t.Errorf("ready = %q, %v, want %q", dir, err, tt.want)
		}
		if left, _ := filepath.Glob(filepath.Join(b.Cache, "[0-9a-f]*", "*")); len(left) > 0 {
			t.Errorf("after %v: left %v", tt.err, left)
		}
	}
	b.extra = nil
	b.ready(4)
}

func TestFullDisk(t *testing.T) {
	b := newBench(t)
	b.free = func(string) (uint64, error) { return 10 << 20, nil }
	_, err := b.Engines.ready(t.Context(), b.entry, b.job)
	if err == nil || !strings.Contains(err.Error(), "10 MiB are free, an engine needs about 64") ||
		b.builds.Load() != 0 {
		t.Errorf("ready = %v after %d builds, want a refusal before any", err, b.builds.Load())
	}
}

// TestInterruptedBuild ends at once with ctx, and leaves nothing.
func TestInterruptedBuild(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	b.extra = func(ctx context.Context, _ Job) error { cancel(); <-ctx.Done(); return ctx.Err() }
	if _, err := b.Engines.ready(ctx, b.entry, b.job); !errors.Is(err, context.Canceled) {
		t.Errorf("ready = %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(b.Cache, "*", "*.building")); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	b.extra = nil
	b.ready(2)
}

// TestPrune keeps the newest, and the one in use.
func TestPrune(t *testing.T) {
	b := newBench(t)
	b.Keep = 3
	var dirs []string
	for i, weights := range []string{"a", "b", "c", "d", "e"} {
		b.network(weights, weights)
		dirs = append(dirs, b.ready(int32(i+1)))
		old := time.Now().Add(time.Duration(i-10) * time.Hour)
		if err := os.Chtimes(dirs[i], old, old); err != nil {
			t.Fatal(err)
		}
	}
	for i, dir := range dirs {
		if _, err := os.Stat(dir); (err == nil) != (i >= 2) {
			t.Errorf("entry %d: %v, want the last three to stay", i, err)
		}
	}
	if pins, err := b.pins(); err != nil || len(pins) != 3 {
		t.Errorf("%d pins, %v, want three", len(pins), err)
	}
	b.Keep, b.Bytes = 0, 1
	b.network("f", "f")
	b.ready(6)
	if left, _ := filepath.Glob(filepath.Join(b.Cache, "[0-9a-f]*", "*")); len(left) != 1 {
		t.Errorf("beyond the bytes there are %v, want the one in use alone", left)
	}
}

// TestForget: an engine that does not load is made again.
func TestForget(t *testing.T) {
	b := newBench(t)
	b.ready(1)
	if err := b.forget(t.Context(), b.entry); err != nil {
		t.Fatal(err)
	}
	b.ready(2)
}
