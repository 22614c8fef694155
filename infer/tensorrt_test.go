package infer

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestTensorRTOptions holds the maps for every major version, precision and size of memory against
// the golden file.
func TestTensorRTOptions(t *testing.T) {
	var text strings.Builder
	for _, major := range []int{0, 8, 10, 11} {
		for _, precision := range []string{"fp32", "fp16", "int8"} {
			for _, memory := range []uint64{0, 8 << 30, 64 << 30} {
				o := tensorRTOptions(gpuFacts{Major: major, Memory: memory},
					&ModelFile{Input: "input", Size: 224, Precision: precision}, 1, "/cache")
				fmt.Fprintf(&text, "TensorRT %d, %s, %d GiB\n", major, precision, memory>>30)
				for _, key := range slices.Sorted(maps.Keys(o)) {
					fmt.Fprintf(&text, "  %s=%s\n", key, o[key])
				}
			}
		}
	}
	const golden = "testdata/tensorrt-options.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != text.String() {
		t.Errorf("options differ from %s (%v): got\n%s", golden, err, text.String())
	}
	for _, key := range optional {
		if !strings.Contains(text.String(), key) {
			t.Errorf("optional %s is no option", key)
		}
	}
	if o := tensorRTOptions(gpuFacts{}, &ModelFile{}, 1, ""); o["trt_engine_cache_enable"] != "" {
		t.Errorf("without a folder there is a cache: %v", o)
	}
}

func TestVersionOf(t *testing.T) {
	for n, want := range map[int]string{8502: "8.5.2", 8602: "8.6.2", 100300: "10.3.0", 101602: "10.16.2",
		110401: "11.4.1", 0: "", -1: ""} {
		if got := versionOf(n); got != want {
			t.Errorf("versionOf(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestAgree(t *testing.T) {
	want := []float32{1, -10, 3}
	if err := agree(want, []float32{1.01, -9.99, 3}, 5e-3, TensorRT); err != nil {
		t.Error(err)
	}
	nan := float32(0)
	nan /= nan
	for _, got := range [][]float32{{1.1, -10, 3}, {nan, -10, 3}} {
		if err := agree(want, got, 5e-3, TensorRT); err == nil || !strings.HasPrefix(err.Error(), "self-test: ") {
			t.Errorf("agree(%v) = %v", got, err)
		}
	}
}

// TestSelfTestStopsTheLadder: an engine that answers wrongly is a finding, no reason to run the
// model on another provider in silence. Whoever asked keeps what ran before.
func TestSelfTestStopsTheLadder(t *testing.T) {
	// as it comes back from another process
	said := errors.New("self-test: the engine that tensorrt built answers 3 off")
	_, _, err := climb(ladder, false, func(provider string) error {
		if provider != TensorRT {
			t.Errorf("%s was tried after a failed self-test", provider)
		}
		return explainBuild(said, false)
	})
	if err == nil || errors.Is(err, ErrNoProvider) || err.Error() != said.Error() {
		t.Errorf("climb = %v, want the self-test's own words", err)
	}
}
