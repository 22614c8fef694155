package dataset

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/round"
	"github.com/vggse/vggse-agent/vision"
)

// Bounds of what is left out: the largest part of the pictures that may be damaged, and how many of
// them are named.
const (
	damagedPart  = 10
	damagedNamed = 3
)

// ListReadable is List without the pictures that cannot be decoded, before anything is worked out
// of the others. A finding names them; where they are many it is an error.
func ListReadable(ctx context.Context, dir string, labels []string) ([]Picture, []Finding, error) {
	pictures, found, err := List(ctx, dir, labels)
	if err != nil {
		return nil, nil, err
	}
	return readable(ctx, dir, pictures, found)
}

func readable(ctx context.Context, dir string, pictures []Picture, found []Finding) ([]Picture, []Finding, error) {
	why := make([]error, len(pictures))
	workers, group := runtime.GOMAXPROCS(0), errgroup.Group{}
	for w := range workers {
		group.Go(func() error {
			var frame vision.Frame
			for i := w; i < len(pictures) && ctx.Err() == nil; i += workers {
				why[i] = camera.ReadImage(pictures[i].Path, &frame)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	var good []Picture
	var bad []string
	var last error
	for i, p := range pictures {
		if why[i] == nil {
			good = append(good, p)
			continue
		}
		if errors.Is(why[i], camera.ErrNoOpenCV) {
			return nil, nil, why[i]
		}
		bad, last = append(bad, filepath.Base(p.Path)), why[i]
	}
	switch n := len(bad); {
	case n == 0:
		return pictures, found, nil
	case n == len(pictures) || n > max(1, len(pictures)/damagedPart):
		return nil, nil, fmt.Errorf("%d of %s in %s cannot be read; the last: %w", n, round.Pictures(len(pictures)),
			dir, last)
	}
	named := strings.Join(bad[:min(len(bad), damagedNamed)], ", ")
	if len(bad) > damagedNamed {
		named += ", …"
	}
	return good, append(found, Finding{Check: "damaged", Severity: "warn",
		Evidence: fmt.Sprintf("%d of %d pictures in %s cannot be read and %s left out: %s", len(bad), len(pictures),
			dir, round.Plural(len(bad), "was", "were"), named),
		Cure: "copy them again, or delete them"}), nil
}
