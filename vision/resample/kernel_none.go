//go:build !(cgo && (amd64 || arm64))

package resample

// kernels is 0: this build has no vector kernel.
func kernels() int { return 0 }

func (p *pillow) applyKernel(int, *Target, []byte, int) { panic("resample: built without the kernel") }

func (s *sampled) applyKernel(*Target, []byte, int) { panic("resample: built without the kernel") }

func (p *Plan) applyKernel(int, *Target, []byte, int) { panic("resample: built without the kernel") }
