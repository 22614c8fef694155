package main

import (
	"cmp"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// BenchmarkImportFull imports the article's network, 554 MB, and copies the same file with fsync in
// turns; the goal is at most twice the time, and 64 MB of heap. It writes a .safetensors of seeded
// weights, or takes the checkpoint that IMPORT_CHECKPOINT names (1000 classes):
//
//	go test -run '^$' -bench ImportFull -benchtime 5x ./cmd/vggse-agent
func BenchmarkImportFull(b *testing.B) {
	dir := b.TempDir()
	file := cmp.Or(os.Getenv("IMPORT_CHECKPOINT"), filepath.Join(dir, "full.safetensors"))
	if os.Getenv("IMPORT_CHECKPOINT") == "" {
		writeFull(b, file)
	}
	labels := filepath.Join(dir, "labels.txt")
	if err := os.WriteFile(labels, numbered(1000), 0o600); err != nil {
		b.Fatal(err)
	}
	var copies, imports []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := copySynced(filepath.Join(dir, "copy"), file); err != nil {
			b.Fatal(err)
		}
		copies = append(copies, time.Since(start))
		start = time.Now()
		out := filepath.Join(dir, "bundle")
		if code := execute(b.Context(), []string{"import", file, "--labels", labels, "--preprocess", "torchvision",
			"--out", out}, io.Discard, io.Discard); code != exitDone {
			b.Fatal("import: exit", code)
		}
		imports = append(imports, time.Since(start))
		if err := errors.Join(os.RemoveAll(out), os.Remove(filepath.Join(dir, "copy"))); err != nil {
			b.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(median(copies).Seconds(), "copy-s")
	b.ReportMetric(median(imports).Seconds(), "import-s")
	b.ReportMetric(median(imports).Seconds()/median(copies).Seconds(), "import/copy")
	b.ReportMetric(float64(m.HeapSys)/(1<<20), "heap-MB")
}

// processorTime is what this process and its children that have ended took of the processors.
func processorTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var used unix.Rusage
		if err := unix.Getrusage(who, &used); err != nil {
			b.Fatal(err)
		}
		sum += time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	return sum
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func numbered(n int) []byte {
	var text []byte
	for i := range n {
		text = append(text, "class"+strconv.Itoa(i)+"\n"...)
	}
	return text
}

// writeFull writes the article's network with seeded weights under PyTorch's names.
func writeFull(b *testing.B, path string) {
	b.Helper()
	weights := vgg16se.Seeded(1)
	var tensors []checkpoint.Out
	for _, p := range (vgg16se.Architecture{}).Params() {
		source, err := weights(p)
		if err != nil {
			b.Fatal(err)
		}
		shape := make([]int64, len(p.Shape))
		for i, d := range p.Shape {
			shape[i] = int64(d)
		}
		tensors = append(tensors, checkpoint.Out{Name: p.Name, Shape: shape, Source: source})
	}
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(checkpoint.WriteSafetensors(f, tensors, nil), f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

// copySynced copies a file as cp would, and syncs it.
func copySynced(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<18))
	return errors.Join(err, out.Sync(), out.Close())
}

// BenchmarkImportForeignFull imports the article's network as if it were anybody's .onnx, 554 MB,
// which runs the file and what was made of it to prove the import. The goal is at most twice a copy
// with fsync plus 1.1 times loading and running both; in time of processors, which a busy machine does
// not change, it is cpu-import/goal:
//
//	go test -run '^$' -bench ImportForeignFull -benchtime 3x ./cmd/vggse-agent
func BenchmarkImportForeignFull(b *testing.B) {
	dir := b.TempDir()
	full, labels := filepath.Join(dir, "full"), filepath.Join(dir, "labels.txt")
	do := func(args ...string) time.Duration {
		b.Helper()
		start := time.Now()
		if code := execute(b.Context(), args, io.Discard, io.Discard); code != exitDone {
			b.Fatalf("%v: exit %d", args, code)
		}
		return time.Since(start)
	}
	do("new", "--out", full)
	if err := os.WriteFile(labels, numbered(1000), 0o600); err != nil {
		b.Fatal(err)
	}
	var copies, runs, imports []time.Duration
	var worked [3]time.Duration // by processors, on the same
	for b.Loop() {
		start, begin := time.Now(), processorTime(b)
		if err := copySynced(filepath.Join(dir, "copy"), filepath.Join(full, "fp32.onnx")); err != nil {
			b.Fatal(err)
		}
		copies = append(copies, time.Since(start))
		copied := processorTime(b)
		runs = append(runs, do("classify", "--bundle", full, "--provider", "cpu", "../../vgg16se/testdata/picture.png"))
		ran := processorTime(b)
		out := filepath.Join(dir, "bundle")
		imports = append(imports, do("import", filepath.Join(full, "fp32.onnx"), "--labels", labels, "--preprocess",
			"torchvision", "--out", out))
		for i, d := range []time.Duration{copied - begin, ran - copied, processorTime(b) - ran} {
			worked[i] += d
		}
		if err := errors.Join(os.RemoveAll(out), os.Remove(filepath.Join(dir, "copy"))); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(worked[2].Seconds()/(2*worked[0].Seconds()+1.1*2*worked[1].Seconds()), "cpu-import/goal")
	goal := 2*median(copies).Seconds() + 1.1*2*median(runs).Seconds()
	b.ReportMetric(median(copies).Seconds(), "copy-s")
	b.ReportMetric(median(runs).Seconds(), "run-s")
	b.ReportMetric(median(imports).Seconds(), "import-s")
	b.ReportMetric(median(imports).Seconds()/goal, "import/goal")
}
