package infer

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// Network is a bundle with the engine that runs it. Whoever opened it closes it.
type Network struct {
	*Engine
	Bundle *bundle.Bundle
	SHA256 string // of the model file that the engine runs, as the manifest gives it
	File   string // its path in the bundle
	Why    string // it was chosen: one phrase
	Key    string // of the model file in bundle.Spec.Files

	known    *vision.Known // see Known
	settings Config        // that it was opened with
}

// OpenBundle opens the bundle in the folder dir and makes an engine of its best model file for the
// wanted precision (auto, fp32, fp16 or int8) and the provider that can be had. The file, and those
// with weights of its, are hashed beside the loading; a digest that differs from the manifest, or a
// file that is exchanged meanwhile, closes the engine again, so that nothing is ever answered by a
// damaged network.
func OpenBundle(ctx context.Context, dir, precision string, c Config) (*Network, error) {
	opened, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := hasPrecision(opened, precision); err != nil {
		return nil, err
	}
	var h hashing
	defer h.stop()
	var picked choice
	engine, err := OpenPicked(ctx, c, func(provider string) (net ModelFile, err error) {
		var library string
		if provider == TensorRT {
			runtime, err := About(c)
			if err != nil {
				return net, err
			}
			library = runtime.Path
		}
		if picked, err = pickFile(opened, precision, kindOf(provider, library)); err != nil {
			return net, err
		}
		path, err := opened.Path(picked.key)
		if err != nil {
			return net, err
		}
		keys, err := filesOf(opened, picked.key)
		if err != nil {
			return net, err
		}
		if err := h.of(opened, keys); err != nil {
			return net, err
		}
		head, err := ReadHead(opened) // behind of: a head that is exchanged meanwhile is found, too
		if err != nil {
			return net, wrong("%s", err)
		}
		return modelFile(opened, picked, path, head), nil
	}, func() { h.start(ctx) })
	if err != nil {
		h.stop() // the hash no longer matters, unless it explains the failure
		if h.err != nil && !errors.Is(h.err, context.Canceled) {
			return nil, h.err
		}
		return nil, err
	}
	if err := h.wait(); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	n, err := networkOf(opened, picked, engine, c)
	if err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return n, nil
}

// networkOf is the bundle with the engine that runs its picked file.
func networkOf(b *bundle.Bundle, picked choice, engine *Engine, c Config) (*Network, error) {
	known, err := knownOf(b, picked.key, engine)
	if err != nil {
		return nil, err
	}
	file := b.Spec.Files[picked.key]
	return &Network{Engine: engine, Bundle: b, SHA256: file.SHA256, File: file.Path, Why: picked.why, Key: picked.key,
		known:    known,
		settings: c}, nil
}

// modelFile is the picked file of a bundle, at path, with its last layer where that stands in a
// file of its own.
func modelFile(b *bundle.Bundle, picked choice, path string, head *vision.Head) ModelFile {
	golden, _ := b.Path(bundle.FileGolden) // "" where there is none
	m := ModelFile{
		Path: path, Input: b.Spec.Input.Name, Output: b.Spec.Output.Name,
		Size: b.Spec.Architecture.InputSize, Classes: len(b.Spec.Labels), Precision: picked.precision,
		SHA256: b.Spec.Files[picked.key].SHA256, Golden: golden, Head: head,
	}
	if head != nil {
		m.Features = head.Width()
	}
	return m
}

// hashing checks the files of one network in the background: those that of named last, from start on.
type hashing struct {
	bundle *bundle.Bundle
	keys   []string
	before untouched
	cancel context.CancelFunc // nil: not started
	done   sync.WaitGroup
	err    error // valid after stop or wait
}

// of says which files it is about, and notes what they are before anybody reads them.
func (h *hashing) of(b *bundle.Bundle, keys []string) (err error) {
	if slices.Equal(h.keys, keys) {
		return nil
	}
	h.stop()
	h.bundle, h.keys, h.err, h.cancel = b, keys, nil, nil
	h.before, err = remember(b, keys)
	return err
}

func (h *hashing) start(ctx context.Context) {
	if h.cancel != nil {
		return
	}
	ctx, h.cancel = context.WithCancel(ctx)
	h.done.Go(func() {
		for _, key := range h.keys {
			if h.err = h.bundle.CheckFile(ctx, key); h.err != nil {
				return
			}
		}
	})
}

func (h *hashing) wait() error {
	h.done.Wait()
	if h.err != nil {
		return h.err
	}
	return h.before.check()
}

func (h *hashing) stop() {
	if h.cancel != nil {
		h.cancel()
	}
	h.done.Wait()
}
