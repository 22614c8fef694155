package infer

import (
	"path/filepath"
	"slices"
)

// nvidia are the devices of which one is there where TensorRT or CUDA can run.
var nvidia = []string{"/dev/nvidiactl", "/dev/nvmap", "/dev/nvhost-ctrl*", "/dev/nvgpu", "/dev/dxg"}

// FilesUsed are those of the model files with the given keys that the configuration uses on this
// machine: of each provider that may run the best one there is, or that of the precision. Where none
// of them would be used all are returned: something is to be configured yet. auto means the CPU on a
// machine without a GPU.
func (c *Config) FilesUsed(precision string, keys []string) []string {
	return c.filesUsed(precision, keys, hasNVIDIA())
}

func hasNVIDIA() bool {
	return slices.ContainsFunc(nvidia, func(pattern string) bool {
		found, err := filepath.Glob(pattern)
		return err == nil && len(found) > 0
	})
}

func (c *Config) filesUsed(precision string, keys []string, gpu bool) []string {
	providers := slices.Clone(c.Providers)
	if i := slices.Index(providers, auto); i >= 0 || len(providers) == 0 {
		providers = append(providers, CPU)
		if gpu {
			providers = append(providers, TensorRT, CUDA)
		}
	}
	for provider, other := range map[string]string{TensorRT: tensorRT11, OpenVINO: openVINOAMX} {
		if slices.Contains(providers, provider) { // which of the two it is shows when the library is loaded
			providers = append(providers, other)
		}
	}
	var used []string
	for _, p := range providers {
		i := slices.IndexFunc(files[p], func(f choice) bool {
			return slices.Contains(keys, f.key) && (precision == auto || precision == f.precision)
		})
		if i >= 0 {
			used = append(used, files[p][i].key)
		}
	}
	if len(used) == 0 {
		return keys
	}
	slices.Sort(used)
	return slices.Compact(used)
}
