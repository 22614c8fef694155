package infer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOpenVINOIsFoundOnlyWhereItCanBeMeasured: auto never takes it without a cache for what was
// measured, or where it was not installed; a list that names it always does.
func TestOpenVINOIsFoundOnlyWhereItCanBeMeasured(t *testing.T) {
	with, without := filepath.Join(t.TempDir(), libraryName), filepath.Join(t.TempDir(), libraryName)
	if err := os.WriteFile(filepath.Join(filepath.Dir(with), providerFile(OpenVINO)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, library string
		c             Config
		want          string
	}{
		{"installed, with a cache", with, Config{Engines: new(Engines)}, "tensorrt cuda openvino cpu"},
		{"installed, without a cache", with, Config{}, "tensorrt cuda cpu"},
		{"not installed", without, Config{Engines: new(Engines)}, "tensorrt cuda cpu"},
		{"a list", without, Config{Providers: []string{OpenVINO, CPU}}, "openvino cpu"},
	} {
		order, _ := tt.c.orderFor(tt.library)
		if got := strings.Join(order, " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRace(t *testing.T) {
	for _, tt := range []struct {
		own, rival time.Duration
		lost       bool
	}{{33, 82, false}, {95, 100, false}, {96, 100, true}, {120, 100, true}} {
		r := Race{Own: tt.own * time.Millisecond, Rival: tt.rival * time.Millisecond}
		err := r.lost(OpenVINO)
		if (err != nil) != tt.lost {
			t.Errorf("%v against %v: %v, lost should be %v", r.Own, r.Rival, err, tt.lost)
		}
		if err != nil && !strings.Contains(err.Error(), "infer.providers") {
			t.Errorf("%q names no cure", err)
		}
	}
	if got := median([]time.Duration{9, 1, 5}); got != 5 {
		t.Errorf("the median of 9, 1, 5 is %d", got)
	}
}

// TestOpenVINOOptions: the file's precision is what runs, and single pictures get a fixed shape.
func TestOpenVINOOptions(t *testing.T) {
	net := ModelFile{Input: "pictures", Size: 96, Precision: "fp32"}
	o := openVINOOptions(&net, 1, 4)
	for key, want := range map[string]string{"device_type": "CPU", "num_of_threads": "4", "num_streams": "1",
		"reshape_input": "pictures[1,3,96,96]",
		"load_config":   `{"CPU":{"PERFORMANCE_HINT":"LATENCY","INFERENCE_PRECISION_HINT":"f32"}}`} {
		if o[key] != want {
			t.Errorf("%s: %q, want %q", key, o[key], want)
		}
	}
	net.Precision = "bf16"
	o = openVINOOptions(&net, 8, 1)
	if _, fixed := o["reshape_input"]; fixed || !strings.Contains(o["load_config"], `"bf16"`) {
		t.Errorf("batches of bfloat16: %v", o)
	}
}

// TestLibrariesThatAreTaken: of OpenVINO's wheel each library once, under the name that is asked
// for, and the processor's plugin alone.
func TestLibrariesThatAreTaken(t *testing.T) {
	for name, want := range map[string]bool{
		"libonnxruntime.so": true, "libonnxruntime.so.1.24.1": true, "libonnxruntime_providers_openvino.so": true,
		"libopenvino.so.2541": true, "libopenvino_onnx_frontend.so.2541": true, "libtbb.so.12": true,
		"libopenvino_intel_cpu_plugin.so": true,
		"libopenvino.so":                  false, "libopenvino.so.2025.4.1": false,
		"libopenvino_intel_gpu_plugin.so": false,
		"libopenvino_c.so.2541":           false, "libtbbmalloc.so": false, "xlibopenvino.so.2541": false,
	} {
		if got := libraryFile.MatchString(name); got != want {
			t.Errorf("%s: taken is %v, want %v", name, got, want)
		}
	}
}

// TestSelfTestBesideARival: where OpenVINO was only to be found out about, its wrong answers leave the
// network to the CPU provider; whoever asked for a provider is told, and nothing runs.
func TestSelfTestBesideARival(t *testing.T) {
	failed := fmt.Errorf("%w: the engine answers otherwise", errSelfTest)
	fromChild := errors.New(failed.Error())
	for _, err := range []error{failed, fromChild} {
		var broken *modelError
		if got := explainBuild(err, false); !errors.As(got, &broken) {
			t.Errorf("asked for: %v would go on to the next provider", got)
		}
		provider, tried, got := climb([]string{OpenVINO, CPU}, false, func(p string) error {
			if p == OpenVINO {
				return explainBuild(err, true)
			}
			return nil
		})
		if provider != CPU || got != nil || len(tried) != 1 || tried[0].Err.Error() != failed.Error() {
			t.Errorf("beside a rival: %s runs, tried %v, %v", provider, tried, got)
		}
	}
}
