package verify

import (
	"context"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/account"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se"
	"github.com/vggse/vggse-agent/vision"
)

// reference computes the answers of a VGG of ours to seeded pictures in float64. At full size that
// takes some ten seconds of a core for each picture: what was computed once is kept under cache.
func reference(ctx context.Context, b *bundle.Bundle, cache string, p *progress.Progress) (*Goldens, error) {
	kept := filepath.Join(cache, "reference", b.Spec.Files[bundle.FileFP32].SHA256)
	ours := account.NotForRoot(cache) == nil // else another account says what lies there, and where
	if ours {
		if g, err := Read(filepath.Join(kept, FileName), &b.Spec); err == nil {
			return g, nil
		}
	}
	if err := b.CheckFile(ctx, bundle.FileFP32); err != nil {
		return nil, err
	}
	a, err := vgg16se.FromManifest(b.Spec.Architecture)
	if err != nil {
		return nil, err
	}
	path, err := b.Path(bundle.FileFP32)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	g := &Goldens{Input: seededPictures(Pairs, b.Spec.Architecture.InputSize), Origin: OriginReference}
	if g.Logits, err = compute(ctx, a, &m.Graph, g.Input, p); err != nil {
		return nil, err
	}
	if !ours {
		return g, ctx.Err()
	}
	if err = os.MkdirAll(kept, 0o755); err == nil {
		_, err = g.Write(ctx, kept)
	}
	if err != nil {
		p.Say("the reference could not be kept for the next time: %v", err)
	}
	return g, ctx.Err()
}

// compute fans the pictures out over the cores; the progress counts them.
func compute(ctx context.Context, a vgg16se.Architecture, graph *onnx.Graph, x *vision.Tensor,
	p *progress.Progress) (vision.Logits, error) {
	n, classes := int(x.Shape[0]), a.Full().Classes
	logits := make(vision.Logits, n*classes)
	bar := p.Start("computing the reference", int64(n))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			exact, err := a.Reference(ctx, graph, picture(x, i))
			if err != nil {
				return err
			}
			for c, v := range exact {
				logits[i*classes+c] = float32(v)
			}
			bar.One()
			return nil
		})
	}
	return logits, group.Wait()
}
