package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// machine is where the check ran.
type machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	GPU     string `json:"gpu"`    // "": none that the driver's tool or the device tree tells
	Driver  string `json:"driver"` // "" as above
	Library string `json:"library"`
	Version string `json:"onnxruntime"`
	Agent   string `json:"agent"`

	Folders  []string `json:"folders"`    // put on LD_LIBRARY_PATH for the agent
	TensorRT []string `json:"libnvinfer"` // files of that name
}

func (m *machine) lines() []string {
	or := func(v, none string) string {
		if v == "" {
			return none
		}
		return v
	}
	return []string{
		fmt.Sprintf("CPU: %s, %d cores, %s", or(m.CPU, "unknown"), m.Cores, runtime.GOARCH),
		fmt.Sprintf("GPU: %s, driver %s", or(m.GPU, "none found"), or(m.Driver, "none found")),
		fmt.Sprintf("ONNX Runtime: %s, %s", or(m.Version, "unknown"), or(m.Library, "where the agent finds it itself")),
		"TensorRT: " + or(strings.Join(m.TensorRT, ", "), "no libnvinfer found"),
		"agent: " + or(m.Agent, "unknown"),
	}
}

var cpuName = regexp.MustCompile(`(?m)^(?:model name|Model)\s*: (.*)$`)

// look finds out what there is. given is the library, wheel or folder that the user names; "": it
// is looked for.
func look(ctx context.Context, given string) (*machine, error) {
	m := &machine{Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if found := cpuName.FindSubmatch(text); found != nil {
			m.CPU = string(found[1])
		}
	}
	m.lookAtGPU(ctx)
	python := sitePackages(ctx)
	m.Folders = libraryFolders(python)
	for _, dir := range append(slices.Clone(m.Folders), "/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu",
		"/usr/lib64", "/usr/local/cuda/lib64") {
		found, _ := filepath.Glob(filepath.Join(dir, "libnvinfer.so.*"))
		m.TensorRT = append(m.TensorRT, found...)
	}
	if given == "" {
		given = os.Getenv("ORT_LIB")
	}
	if given == "" {
		m.Library = bestLibrary(python)
		return m, nil
	}
	path, err := filepath.Abs(given)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("--ort: %w", err)
	} else if info.IsDir() {
		found := coresIn(path)
		if len(found) == 0 {
			return nil, fmt.Errorf("--ort: %s holds no libonnxruntime.so: name the file, or the folder that has it",
				path)
		}
		path = found[0]
	}
	m.Library = path
	return m, nil
}

func (m *machine) lookAtGPU(ctx context.Context) {
	if model, err := os.ReadFile("/proc/device-tree/model"); err == nil {
		m.GPU = strings.TrimRight(string(model), "\x00\n")
	}
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,memory.total,driver_version",
		"--format=csv,noheader").Output()
	if err != nil {
		return
	}
	line, _, _ := strings.Cut(string(out), "\n")
	if words := strings.Split(line, ", "); len(words) == 3 {
		m.GPU, m.Driver = words[0]+", "+words[1], words[2]
	}
}

// gpuMemory is what all programs have of the GPU's memory, MiB; 0 where nothing tells.
func gpuMemory(ctx context.Context) int {
	out, _ := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=memory.used",
		"--format=csv,noheader,nounits").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return n
}

// sitePackages are the folders that python3 imports from: wheels bring CUDA and ONNX Runtime there.
func sitePackages(ctx context.Context) []string {
	out, err := exec.CommandContext(ctx, "python3", "-c",
		"import sys; print('\\n'.join(p for p in sys.path if p))").Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

// libraryFolders are those of the CUDA and TensorRT wheels in the given folders, and CUDA's own.
func libraryFolders(python []string) []string {
	var all []string
	for _, dir := range python {
		for _, pattern := range []string{"nvidia/*/lib", "nvidia/*/lib64", "tensorrt_libs"} {
			found, _ := filepath.Glob(filepath.Join(dir, pattern))
			all = append(all, found...)
		}
	}
	for _, dir := range []string{"/usr/local/cuda/lib64", "/usr/local/nvidia/lib64"} {
		if _, err := os.Stat(dir); err == nil {
			all = append(all, dir)
		}
	}
	return all
}

// bestLibrary is the ONNX Runtime of Python or of an installed agent, one with a GPU provider
// first; "": there is none.
func bestLibrary(python []string) string {
	dirs := []string{"/var/lib/vggse-agent/runtimes/current", "/usr/local/lib",
		"/usr/lib/" + map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH] + "-linux-gnu"}
	for _, dir := range python {
		dirs = append(dirs, filepath.Join(dir, "onnxruntime", "capi"))
	}
	best := ""
	for _, dir := range dirs {
		found := coresIn(dir)
		if len(found) == 0 {
			continue
		}
		if gpu, _ := filepath.Glob(filepath.Join(dir, "libonnxruntime_providers_[ct][ue][dn][as]*.so")); len(gpu) > 0 {
			return found[0]
		}
		if best == "" {
			best = found[0]
		}
	}
	return best
}

func coresIn(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "libonnxruntime.so*"))
	return found
}
