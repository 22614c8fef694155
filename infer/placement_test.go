package infer_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/infer"
)

// TestParseProfile reads profiles in the form that TensorRT's and CUDA's have; written by hand from
// ONNX Runtime's source, unproven on hardware.
func TestParseProfile(t *testing.T) {
	for _, tt := range []struct {
		file  string
		nodes map[string]int
		onCPU []string
	}{
		{"tensorrt", map[string]int{infer.TensorRT: 1}, nil},
		{"tensorrt-split", map[string]int{infer.TensorRT: 1, infer.CUDA: 2, infer.CPU: 1},
			[]string{"/se5/NonZero (NonZero)"}},
	} {
		profile, err := os.ReadFile("testdata/profiles/" + tt.file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		p, err := infer.ParseProfile(profile, infer.TensorRT)
		if err != nil || !maps.Equal(p.Nodes, tt.nodes) || !slices.Equal(p.OnCPU, tt.onCPU) {
			t.Errorf("%s: %+v, %v, want %v and %v", tt.file, p, err, tt.nodes, tt.onCPU)
		}
	}
	for _, broken := range []string{"", "[", "[]", `[{"cat":"Session","name":"x"}]`} {
		if p, err := infer.ParseProfile([]byte(broken), infer.CPU); err == nil {
			t.Errorf("%q reads as %+v", broken, p)
		}
	}
}

// TestPlaceOnCPU profiles a real run: each node is on the CPU, which for the CPU provider is no
// finding.
func TestPlaceOnCPU(t *testing.T) {
	needLibrary(t)
	p, err := infer.Place(context.Background(), cpu, infer.CPU, "", tiny)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Nodes) != 1 || p.Nodes[infer.CPU] < 3 || len(p.OnCPU) > 0 {
		t.Errorf("Place = %+v, want some nodes on the cpu, and no complaint", p)
	}
}

// TestPlaceNamesWhatStaysOnTheCPU gives a node without a GPU its name and operator.
func TestPlaceNamesWhatStaysOnTheCPU(t *testing.T) {
	profile := `[{"cat":"Node","name":"c_kernel_time","args":{"op_name":"Conv","provider":"CPUExecutionProvider"}}]`
	p, err := infer.ParseProfile([]byte(profile), infer.CUDA)
	if err != nil || strings.Join(p.OnCPU, " ") != "c (Conv)" {
		t.Errorf("ParseProfile = %+v, %v", p, err)
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range []string{"tensorrt", "tensorrt-split"} {
		text, err := os.ReadFile("testdata/profiles/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := infer.ParseProfile(text, infer.TensorRT); err == nil && len(p.Nodes) == 0 {
			t.Errorf("%+v names no node and is no error", p)
		}
	})
}
