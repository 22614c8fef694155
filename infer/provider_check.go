package infer

import (
	"errors"
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// Loads loads a provider's library with all that it needs, as Open would, and asks for nothing
// more; nil: it is there. The error is one sentence with the library that is missing, whose it is
// and the cure. Signal handlers that the libraries replace are put back.
func Loads(c Config, provider string) (err error) {
	if _, err := acquire(&c); err != nil {
		return fmt.Errorf("infer: loads: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	_, err = guardSignals(func() error { return loads(provider) })
	if err != nil {
		return providerSays(err)
	}
	return nil
}

// loads sets one option, for which the provider's library is needed.
func loads(provider string) error {
	device := map[string]string{"device_id": "0"}
	switch provider {
	case TensorRT:
		o, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		return errors.Join(o.Update(device), o.Destroy())
	case CUDA:
		o, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		return errors.Join(o.Update(device), o.Destroy())
	case OpenVINO:
		o, err := ort.NewSessionOptions()
		if err != nil {
			return err
		}
		return errors.Join(appendOpenVINO(o, map[string]string{"device_type": "CPU"}), o.Destroy())
	}
	return nil // the CPU's is part of ONNX Runtime
}
