package infer_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// tiny is the network of testdata/make.py.
var tiny = infer.ModelFile{Path: "testdata/tiny.onnx", Input: "input", Output: "logits", Size: 8, Classes: 3,
	Precision: "fp32"}

// cpu makes the tests independent of the GPU that a machine may have.
var cpu = infer.Config{Providers: []string{infer.CPU}, Threads: 1}

// needLibrary skips where ONNX Runtime is not there; CI does not expect that.
func needLibrary(t testing.TB) {
	t.Helper()
	if _, err := infer.Version(infer.Config{}); errors.Is(err, infer.ErrNoLibrary) {
		t.Skip("ONNX Runtime not found (make deps)")
	} else if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, c infer.Config, net infer.ModelFile) *infer.Engine {
	t.Helper()
	needLibrary(t)
	e, err := infer.Open(context.Background(), c, net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// golden returns two pictures and the answers that numpy gives for them.
func golden(t *testing.T) (*vision.Tensor, vision.Logits) {
	t.Helper()
	text, err := os.ReadFile("testdata/tiny.json")
	if err != nil {
		t.Fatal(err)
	}
	var g struct {
		Input  []float32
		Logits vision.Logits
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	return &vision.Tensor{Shape: [4]int64{2, 3, 8, 8}, Data: g.Input}, g.Logits
}

// front is the first n pictures of t.
func front(t *vision.Tensor, n int) *vision.Tensor {
	return &vision.Tensor{Shape: [4]int64{int64(n), 3, 8, 8}, Data: t.Data[:n*3*8*8]}
}

func TestRunAnswersAsNumpy(t *testing.T) {
	pictures, want := golden(t)
	for _, batch := range []int{1, 2, 3} {
		c := cpu
		c.MaxBatch = batch
		e := open(t, c, tiny)
		for n := 1; n <= min(batch, 2); n++ {
			got := make(vision.Logits, 3*n)
			if err := e.Run(context.Background(), front(pictures, n), got); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Abs(float64(got[i]-want[i])) > 1e-5 {
					t.Errorf("max batch %d, %d pictures: logit %d is %g, want %g", batch, n, i, got[i], want[i])
				}
			}
		}
	}
}

func TestInfo(t *testing.T) {
	info := open(t, cpu, tiny).Info()
	if info.Provider != infer.CPU || info.Precision != "fp32" || info.Threads != 1 || info.MaxBatch != 1 ||
		len(info.Tried) != 0 {
		t.Errorf("info: %+v", info)
	}
	if _, err := os.Stat(info.Library); err != nil {
		t.Errorf("library: %v", err)
	}
	if version, err := infer.Version(infer.Config{}); err != nil || version != info.Version ||
		!strings.HasPrefix(version, "1.") {
		t.Errorf("version: %q (%v), info has %q", version, err, info.Version)
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	pictures, _ := golden(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, batch := range []int{1, 2} {
		c := cpu
		c.MaxBatch = batch
		e := open(t, c, tiny)
		in, out := front(pictures, batch), make(vision.Logits, 3*batch)
		n := testing.AllocsPerRun(100, func() {
			if err := e.Run(ctx, in, out); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("batch %d: %g allocations per run, want 0", batch, n)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	e := open(t, cpu, tiny)
	tests := []struct {
		name   string
		tensor *vision.Tensor
		logits int
		want   string
	}{
		{"too many pictures", vision.NewTensor(2, 3, 8, 8), 6, "2 pictures, infer.max_batch is 1"},
		{"no picture", vision.NewTensor(0, 3, 8, 8), 0, "0 pictures"},
		{"another size", vision.NewTensor(1, 3, 9, 9), 3, "the network takes [N 3 8 8]"},
		{"too little data", &vision.Tensor{Shape: [4]int64{1, 3, 8, 8}, Data: make([]float32, 7)}, 3, "of 7 values"},
		{"too few logits", vision.NewTensor(1, 3, 8, 8), 2, "2 logits for 1 pictures of 3 classes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := e.Run(context.Background(), tt.tensor, make(vision.Logits, tt.logits))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// worked is the processor's time that this process has taken: how busy the machine is changes
// nothing of it.
func worked(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCancelEndsTheRun: a run that is cancelled while it computes does not compute on to its end.
func TestCancelEndsTheRun(t *testing.T) {
	slow := tiny
	slow.Path = "testdata/slow.onnx"
	e := open(t, cpu, slow)
	in, out := vision.NewTensor(1, 3, 8, 8), make(vision.Logits, 3)
	begin := worked(t)
	if err := e.Run(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	full := worked(t) - begin
	for range 2 { // the second round proves that a terminated engine can be used again
		ctx, cancel := context.WithCancel(context.Background())
		begin := worked(t)
		stop := make(chan struct{})
		go func() { // when it has begun to compute
			for worked(t)-begin < full/20 {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
				}
			}
			cancel()
		}()
		if err := e.Run(ctx, in, out); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		if took := worked(t) - begin; took > full/2 {
			t.Errorf("cancelled after 1/20 of a run, it took %v of the processor; a whole run takes %v", took, full)
		}
		close(stop)
		cancel()
	}
	if err := e.Run(context.Background(), in, out); err != nil {
		t.Errorf("run after a cancelled one: %v", err)
	}
}

func TestRunsQueueAndCloseWaits(t *testing.T) {
	e := open(t, cpu, tiny)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var runs atomic.Int32
	for range 4 {
		running.Go(func() {
			in, out := vision.NewTensor(1, 3, 8, 8), make(vision.Logits, 3)
			for {
				err := e.Run(ctx, in, out)
				if err == nil {
					runs.Add(1)
					continue
				}
				if !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "the engine is closed") {
					t.Error(err)
				}
				return
			}
		})
	}
	for end := time.Now().Add(2 * time.Minute); runs.Load() < 20 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	go cancel()
	for range 2 {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	running.Wait()
}

func TestOpenExplains(t *testing.T) {
	needLibrary(t)
	whole, err := os.ReadFile(tiny.Path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name   string
		change func(*infer.Config, *infer.ModelFile)
		want   string
	}{
		{"missing", func(_ *infer.Config, n *infer.ModelFile) { n.Path = "testdata/none.onnx" }, "no such file"},
		{"cut", func(_ *infer.Config, n *infer.ModelFile) { n.Path = write("cut.onnx", whole[:200]) }, "damaged"},
		{"text", func(_ *infer.Config, n *infer.ModelFile) {
			n.Path = write("text.onnx", []byte("hello, this is no model\n"))
		}, "damaged"},
		{"empty", func(_ *infer.Config, n *infer.ModelFile) { n.Path = write("empty.onnx", nil) }, "damaged"},
		{"input name", func(_ *infer.Config, n *infer.ModelFile) { n.Input = "image" },
			`no input "image", it calls it "input": correct input.name`},
		{"output name", func(_ *infer.Config, n *infer.ModelFile) { n.Output = "prob" },
			`no output "prob", it calls it "logits"`},
		{"input size", func(_ *infer.Config, n *infer.ModelFile) { n.Size = 9 },
			"input \"input\" is N×3×8×8, the manifest makes it N×3×9×9"},
		{"labels", func(_ *infer.Config, n *infer.ModelFile) { n.Classes = 10 },
			"answers with 3 classes, the manifest has 10 labels"},
		{"fixed batch", func(c *infer.Config, n *infer.ModelFile) { c.MaxBatch, n.Path = 4, "testdata/batch1.onnx" },
			"batches of 1 only"},
	}
	for _, tt := range tests {
		for _, batch := range []int{1, 2} {
			c, n := cpu, tiny
			c.MaxBatch = batch
			tt.change(&c, &n)
			e, err := infer.Open(context.Background(), c, n)
			if err == nil {
				e.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s, max batch %d: got %v, want one line with %q", tt.name, batch, err, tt.want)
			}
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := infer.Open(canceled, cpu, tiny); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled ctx: %v", err)
	}
}

func BenchmarkRunOverhead(b *testing.B) {
	e := open(b, cpu, tiny)
	in, out := vision.NewTensor(1, 3, 8, 8), make(vision.Logits, 3)
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Run(context.Background(), in, out); err != nil {
			b.Fatal(err)
		}
	}
}
