package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
)

// MakeDataset draws d into the new folder out with so many jobs at a time. The folder is filled
// aside and takes its name when it is complete; one that is there already is an error.
func MakeDataset(ctx context.Context, out string, d Dataset, jobs int, p *progress.Progress) error {
	if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already: choose another --out or remove it", out)
	}
	return atomicfile.NewDir(out, func(dir string) error {
		bar := p.Start("drawing", int64(d.Images))
		group, ctx := errgroup.WithContext(ctx)
		for part := range jobs {
			share := d
			share.Part, share.Parts = part, jobs
			group.Go(func() error { return WriteDataset(ctx, dir, share, bar.One) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		bar.Done()
		return nil
	})
}
