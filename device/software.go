package device

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Software are the versions of what NVIDIA's packages put on a machine, by the names of their
// libraries: those stay the same however they were installed. Empty: it lies in none of the usual
// folders.
type Software struct {
	CUDA     string `json:"cuda,omitempty"`     // of its runtime: 12.6.68
	CuDNN    string `json:"cudnn,omitempty"`    // 9.3.0
	TensorRT string `json:"tensorrt,omitempty"` // 10.3.0
}

// libraryFolders are the usual ones. usr/local/cuda is a link that leads out of a root other than
// /.
var libraryFolders = []string{
	"usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib64",
	"usr/local/cuda*/lib64", "usr/local/cuda-*/targets/*/lib",
}

// Software looks for it; the newest counts.
func (m Machine) Software() Software {
	return Software{CUDA: m.newest("libcudart"), CuDNN: m.newest("libcudnn"), TensorRT: m.newest("libnvinfer")}
}

var threeNumbers = regexp.MustCompile(`\.so\.(\d+\.\d+\.\d+)$`)

// newest is the highest version that a library's files bear.
func (m Machine) newest(library string) string {
	best := ""
	for _, folder := range libraryFolders {
		for _, file := range m.glob(folder + "/" + library + ".so.*") {
			if v := threeNumbers.FindStringSubmatch(path.Base(file)); v != nil && compareVersions(v[1], best) > 0 {
				best = v[1]
			}
		}
	}
	return best
}

// compareVersions goes by numbers: 10.3 is newer than 9.20.
func compareVersions(a, b string) int {
	numbers := func(v string) (all []int) {
		for part := range strings.SplitSeq(v, ".") {
			n, _ := strconv.Atoi(part)
			all = append(all, n)
		}
		return all
	}
	return cmp.Or(slices.Compare(numbers(a), numbers(b)), strings.Compare(a, b))
}
