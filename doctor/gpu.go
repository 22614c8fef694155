package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/infer"
)

// checkNVIDIA looks for CUDA, cuDNN and TensorRT in the usual folders. A Jetson needs all three.
func checkNVIDIA(_ context.Context, p *Target) []Finding {
	s := p.Machine.Software()
	var all []Finding
	for _, part := range []struct{ check, version string }{{"cuda", s.CUDA}, {"cudnn", s.CuDNN},
		{"tensorrt", s.TensorRT}} {
		f := Finding{Check: part.check, Status: OK, Found: part.version}
		switch {
		case part.version != "":
		case p.facts.Jetson():
			f.Status, f.Found, f.Cure = Warn, "not installed",
				"sudo apt install nvidia-jetpack: without it the network runs on the CPU"
		default:
			f.Found = "not in the usual folders"
		}
		all = append(all, f)
	}
	return all
}

func checkRuntime(_ context.Context, p *Target) []Finding {
	r, err := infer.About(p.Config.Infer)
	if err != nil {
		return one("onnxruntime", Fail, err.Error(),
			"'vggse-agent runtime install FILE' with a wheel or archive for this machine; in a checkout 'make "+
				"deps'; or set infer.library")
	}
	found := fmt.Sprintf("%s, %s, C API %d", r.Version, r.Path, r.API)
	if r.Shim != "" {
		found += " through " + r.Shim
	}
	return one("onnxruntime", OK, found+", compiled in: "+strings.Join(r.Providers, ", "), "")
}

// checkProviders loads the GPU's providers. One that the configuration insists on must be there; on
// a Jetson TensorRT should be.
func checkProviders(_ context.Context, p *Target) []Finding {
	c := &p.Config.Infer
	r, err := infer.About(*c)
	if err != nil {
		return nil // checkRuntime has told
	}
	var all []Finding
	for _, provider := range []string{infer.TensorRT, infer.CUDA, infer.OpenVINO} {
		f := Finding{Check: provider + " provider", Status: OK,
			Found: "loads (unproven on hardware: 'vggse-agent build' proves it)"}
		wanted := slices.Contains(c.Providers, provider)
		jetson := provider == infer.TensorRT && p.facts.Jetson()
		switch err := infer.Loads(*c, provider); {
		case err == nil:
		case wanted || jetson || slices.Contains(r.Providers, provider):
			f.Status, f.Found = Warn, err.Error()
			f.Cure = "install what it names; without it the network runs on the next provider"
			if !slices.Contains(r.Providers, provider) {
				f.Cure = "'vggse-agent runtime install FILE' with a build for " + cmp.Or(p.jetPack(), "CUDA") +
					" that has it (README, Install on a Jetson)"
			}
			if wanted && c.Providers[0] == provider && c.OnFallback != "warn" {
				f.Status = Fail
			}
		default:
			f.Found = "not in this ONNX Runtime, and not asked for"
		}
		all = append(all, f)
	}
	return all
}

// jetPack names it; "" where the machine is no Jetson.
func (p *Target) jetPack() string {
	if p.facts.JetPack == "" {
		return ""
	}
	return "JetPack " + p.facts.JetPack
}
