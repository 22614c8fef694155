package infer

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Forms of what the dynamic linker says, alone or inside a message of ONNX Runtime.
var (
	noSuchLibrary = regexp.MustCompile(`(lib[\w+.-]+\.so[.\d]*): cannot open shared object file`)
	noSuchVersion = regexp.MustCompile("([^ ]+): version `(\\w+?)_([\\d.]+)' not found")
)

// parts are the products that libraries belong to, by the beginning of their names, and what brings
// them.
var parts = []struct{ prefix, product, cure string }{
	{"libnvinfer", "TensorRT",
		"JetPack brings it (sudo apt install nvidia-jetpack); elsewhere NVIDIA's TensorRT packages of the same " +
			"major version"},
	{"libnvonnxparser", "TensorRT",
		"JetPack brings it (sudo apt install nvidia-jetpack); elsewhere NVIDIA's TensorRT packages of the same " +
			"major version"},
	{"libnvdla_compiler", "the Jetson's driver",
		"in a container, start it with --runtime nvidia, or mount /usr/lib/aarch64-linux-gnu/nvidia"},
	{"libcudnn", "cuDNN", "install cuDNN of the same major version, or put the folder that has it on LD_LIBRARY_PATH"},
	{"libcuda.", "the NVIDIA driver", "install the driver; in a container, start it with --runtime nvidia"},
	{"libcu", "CUDA", "install the CUDA runtime of the same major version, or put the folder that has it on " +
		"LD_LIBRARY_PATH"},
	{"libnvrtc", "CUDA", "install the CUDA runtime of the same major version, or put the folder that has it on " +
		"LD_LIBRARY_PATH"},
	{"libnvJitLink", "CUDA", "install the CUDA runtime of the same major version, or put the folder that has it on " +
		"LD_LIBRARY_PATH"},
	{"libonnxruntime_providers", "ONNX Runtime",
		"it must lie beside libonnxruntime.so: 'vggse-agent runtime install' puts all of a build's libraries together"},
}

// missingLibrary says which library is not here, which product it is of, what of that product is
// here, and the cure.
func missingLibrary(name string) string {
	for _, p := range parts {
		if !strings.HasPrefix(name, p.prefix) {
			continue
		}
		sentence := fmt.Sprintf("%s (%s) is not on this machine", name, p.product)
		stem, _, _ := strings.Cut(name, ".so")
		if here := installedAs(stem); here != "" {
			sentence += ", which has " + here
		}
		return sentence + ": " + p.cure
	}
	return name + " is not on this machine: install what provides it"
}

// libraryFolders are where the libraries of CUDA and TensorRT lie without being told.
var libraryFolders = []string{
	"/usr/lib/aarch64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/local/cuda/lib64",
	"/usr/lib/aarch64-linux-gnu/nvidia", "/usr/lib64",
}

// installedAs is the file name of another version of a library that lies in one of the usual
// folders; "" where there is none.
func installedAs(stem string) string {
	for _, dir := range libraryFolders {
		if found, _ := filepath.Glob(filepath.Join(dir, stem+".so.*")); len(found) > 0 {
			return filepath.Base(found[0])
		}
	}
	return ""
}

// linkerSays turns what the dynamic linker says about the file at path into a sentence.
func linkerSays(path string, err error) error {
	text := err.Error()
	if m := noSuchLibrary.FindStringSubmatch(text); m != nil && m[1] != filepath.Base(path) {
		return fmt.Errorf("%s cannot be loaded: %s", path, missingLibrary(m[1]))
	}
	if m := noSuchVersion.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s cannot be loaded: it needs %s %s or newer, %s is older: take a build for an older "+
			"system, or update this one",
			path, m[2], m[3], m[1])
	}
	return fmt.Errorf("%s cannot be loaded: %s", path, strings.TrimPrefix(text, path+": "))
}

// providerSays adds to a provider's own refusal which library of whom it misses, where that is the
// cause.
func providerSays(err error) error {
	text := err.Error()
	if m := noSuchLibrary.FindStringSubmatch(text); m != nil {
		return errors.New(oneLine(err).Error() + " (" + missingLibrary(m[1]) + ")")
	}
	return oneLine(err)
}
