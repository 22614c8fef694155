package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/model"
)

// Network is a bundle with the engine that runs it. Whoever opened it closes it.
type Network struct {
	*infer.Engine
	Bundle *model.Bundle
	SHA256 string // of the model file that the engine runs, as the manifest gives it
}

// OpenNetwork opens the bundle and makes an engine of its model file for the wanted precision. The
// file is hashed beside the loading; a digest that differs from the manifest closes the engine again,
// so that nothing is ever answered by a damaged network.
func OpenNetwork(ctx context.Context, m Model, c infer.Config) (*Network, error) {
	bundle, err := model.OpenBundle(m.Bundle)
	if err != nil {
		return nil, err
	}
	key, precision, err := pickFile(bundle, m.Precision)
	if err != nil {
		return nil, err
	}
	path, err := bundle.Path(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var hash error
	var hashing sync.WaitGroup
	hashing.Go(func() { hash = bundle.CheckFile(ctx, key) })
	engine, err := infer.Open(ctx, c, infer.Network{
		Path: path, Input: bundle.Spec.Input.Name, Output: bundle.Spec.Output.Name,
		Size: bundle.Spec.Architecture.InputSize, Classes: len(bundle.Spec.Labels), Precision: precision,
	})
	if err != nil {
		cancel() // the hash no longer matters, unless it explains the failure
		hashing.Wait()
		if hash != nil && !errors.Is(hash, context.Canceled) {
			return nil, hash
		}
		return nil, err
	}
	hashing.Wait()
	if hash != nil {
		return nil, errors.Join(hash, engine.Close())
	}
	return &Network{Engine: engine, Bundle: bundle, SHA256: bundle.Spec.Files[key].SHA256}, nil
}

// pickFile chooses the model file of a bundle for the wanted precision, never another one silently.
func pickFile(b *model.Bundle, wanted string) (key, precision string, err error) {
	switch wanted {
	case "auto", "fp32":
		return model.FileFP32, "fp32", nil
	}
	return "", "", fmt.Errorf("model.precision: bundle %s has no %s file, only fp32", b.Dir, wanted)
}
