package infer

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/vggse/vggse-agent/bundle"
)

// OpenBeside is OpenBundle beside a network that runs; nil: none does. Where the bundle differs from
// its in what stands around the model file alone (the last layer, labels, preprocessing), the two
// share the network that is loaded: no session is opened and no engine is built. The files are hashed
// as by OpenBundle: a bundle whose copy of the model file is damaged would not open at the next
// start. Each of the two is closed by itself.
func OpenBeside(ctx context.Context, dir, precision string, c Config, running *Network) (*Network, error) {
	if running != nil {
		opened, picked, ok := running.shares(dir, precision, &c)
		if ok {
			n, err := running.open(ctx, opened, picked)
			if n != nil || err != nil {
				return n, err
			}
		}
	}
	return OpenBundle(ctx, dir, precision, c)
}

// Shares tells whether OpenBeside would open the bundle in the folder dir on the network that n has
// loaded.
func (n *Network) Shares(dir, precision string, c Config) bool {
	_, _, ok := n.shares(dir, precision, &c)
	return ok
}

// shares looks for a bundle whose file for the provider of n is the one that n runs, byte for byte.
func (n *Network) shares(dir, precision string, c *Config) (opened *bundle.Bundle, picked choice, ok bool) {
	if !sameSettings(n.settings, *c) {
		return nil, picked, false
	}
	opened, err := bundle.Open(dir)
	if err != nil {
		return nil, picked, false // OpenBundle says why
	}
	if picked, err = pickFile(opened, precision, kindOf(n.info.Provider, n.info.Library)); err != nil {
		return nil, picked, false
	}
	keys, err := filesOf(opened, picked.key)
	weights := func(key string) bool {
		return key != picked.key && key != bundle.FileHead && key != bundle.FileKnown
	}
	if err != nil || slices.ContainsFunc(keys, weights) { // weights in other files may be others
		return nil, picked, false
	}
	return opened, picked, opened.Spec.Files[picked.key].SHA256 == n.SHA256 && picked.precision == n.net.Precision &&
		n.answersAs(opened)
}

// answersAs tells whether the network has the output that the bundle wants, as wide as it wants it.
func (n *Network) answersAs(b *bundle.Bundle) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.net.Size != b.Spec.Architecture.InputSize || n.net.Input != b.Spec.Input.Name {
		return false
	}
	for _, o := range n.session.outputs {
		if o.name == b.Spec.Output.Name {
			return b.Spec.HasHead() || o.width == len(b.Spec.Labels)
		}
	}
	return false
}

// sameSettings compares what a network is opened with, but for who builds engines and who hears of
// it.
func sameSettings(a, b Config) bool {
	a.Engines, b.Engines = nil, nil
	return reflect.DeepEqual(a, b)
}

// open makes a network of the bundle on the one that n has loaded; nil without an error: it cannot.
func (n *Network) open(ctx context.Context, opened *bundle.Bundle, picked choice) (*Network, error) {
	path, err := opened.Path(picked.key)
	if err != nil {
		return nil, err
	}
	keys, err := filesOf(opened, picked.key)
	if err != nil {
		return nil, err
	}
	var h hashing
	defer h.stop()
	if err := h.of(opened, keys); err != nil {
		return nil, err
	}
	h.start(ctx)
	head, err := ReadHead(opened)
	if err == nil {
		err = h.wait()
	}
	if err != nil {
		return nil, err
	}
	engine := n.sharing(modelFile(opened, picked, path, head))
	if engine == nil {
		return nil, nil
	}
	shared, err := networkOf(opened, picked, engine, n.settings)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return shared, nil
}
