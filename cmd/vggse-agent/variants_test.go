package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/quant"
	"github.com/vggse/vggse-agent/vgg16se"
)

// TestEveryVariantRuns takes a PyTorch checkpoint of each attention from import over calibrate to
// the daemon, whose INT8 answers reach a subscriber.
func TestEveryVariantRuns(t *testing.T) {
	needRuntime(t)
	broker, pictures := startMosquitto(t), filepath.Join(t.TempDir(), "pictures")
	if code, _, stderr := agentCmd(t, "demo-data", "--out", pictures, "--n", "52", "--size",
		"160x120"); code != exitDone {
		t.Fatal(stderr)
	}
	lines := broker.subscribe(t, "vggse/edge/#")
	for _, kind := range vgg16se.Attentions {
		name := string(kind)
		seeded, bundleDir, file := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), name),
			filepath.Join(t.TempDir(), name+".safetensors")
		if code, _, stderr := agentCmd(t, "new", "--attention", name, "--input", "96", "--width", "0.25", "--hidden",
			"64", "--pool", "3", "--classes", "5", "--out", seeded); code != exitDone {
			t.Fatalf("%s: exit %d: %s", kind, code, stderr)
		}
		stateDict(t, filepath.Join(seeded, "fp32.onnx"), file)
		code, stdout, stderr := agentCmd(t, "import", file, "--labels", "a,b,c,d,e", "--preprocess", "torchvision",
			"--input", "96", "--out", bundleDir)
		if code != exitDone || !strings.Contains(stdout, name) {
			t.Fatalf("%s: exit %d: %s%s", kind, code, stdout, stderr)
		}
		code, stdout, stderr = agentCmd(t, "calibrate", "--bundle", bundleDir, "--images", pictures, "--out",
			bundleDir, "--method", "minmax",
			"--budget", "none", "--min-agreement", "0", "--seconds", "0", "--json")
		var r quant.Report
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatalf("%s: exit %d, %v: %s", kind, code, err, stderr)
		}
		if p := r.Files[0].Proof; code != exitDone || p == nil || !p.Fused() || p.Convolutions != 13 {
			t.Fatalf("%s: exit %d, missed %v, %+v", kind, code, r.Gate.Missed, p)
		}
		b, err := bundle.Open(bundleDir)
		if err != nil {
			t.Fatal(err)
		}
		code, _, stderr = agentCmd(t, "run", "--bundle", bundleDir, "--source", "file://"+pictures+"/empty",
			"--broker", "tcp://"+broker.addr(),
			"--set", "device.id=edge", "--set", "model.precision=int8", "--set", "mqtt.publish.every=true")
		if code != exitDone {
			t.Fatalf("%s: exit %d: %s", kind, code, stderr)
		}
		result := await(t, lines, "/result ")
		if want := b.Spec.Files[bundle.FileINT8CPU].SHA256; !strings.Contains(result, `"precision":"int8"`) ||
			!strings.Contains(result, want) {
			t.Errorf("%s: %s; want int8 of %s", kind, result, want)
		}
		await(t, lines, "vggse/edge/available stopped")
	}
}

// stateDict writes the parameters of a network as PyTorch's users save them: by the names of its
// modules.
func stateDict(t *testing.T, network, file string) {
	t.Helper()
	m, err := onnx.Open(network)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	type entry struct {
		DType   string  `json:"dtype"`
		Shape   []int64 `json:"shape"`
		Offsets [2]int  `json:"data_offsets"`
	}
	entries, data := map[string]entry{}, []byte(nil)
	add := func(name string, dims []int64, b []byte) {
		entries[name] = entry{"F32", dims, [2]int{len(data), len(data) + len(b)}}
		data = append(data, b...)
	}
	for _, p := range m.Graph.Initializers {
		if p.Type != onnx.Float32 || !strings.Contains(p.Name, ".") {
			continue
		}
		add(p.Name, p.Dims, p.Data)
		// BAM's, which were folded
		for last, norm := range map[string]string{".channel.2.bias": ".channel.3", ".spatial.6.bias": ".spatial.7"} {
			if block, is := strings.CutSuffix(p.Name, last); is {
				for part, value := range map[string]float32{".weight": 1, ".bias": 0, ".running_mean": 0,
					".running_var": 1} {
					add(block+norm+part, p.Dims,
						bytes.Repeat(binary.LittleEndian.AppendUint32(nil, math.Float32bits(value)), int(p.Elements())))
				}
			}
		}
	}
	head, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	all := append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)
	if err := os.WriteFile(file, append(all, data...), 0o644); err != nil {
		t.Fatal(err)
	}
}
