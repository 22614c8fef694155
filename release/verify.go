package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// Verify reads the whole content of a release and compares it with every digest: pieces, files put
// together, and model.yaml. The plain form is unpacked into a folder in tmp meanwhile.
func (r *Release) Verify(ctx context.Context, tmp string) error {
	open := func(d ocispec.Descriptor) (io.ReadCloser, error) { return r.from.fetch(ctx, d) }
	var err error
	if r.plan.plain != nil {
		err = r.verifyPlain(ctx, open, tmp)
	} else {
		for i := range r.plan.files {
			if err = verifyFile(ctx, &r.plan.files[i], open); err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("release: %s: %w", r.Place, err)
	}
	return nil
}

func verifyFile(ctx context.Context, f *planFile, open opener) error {
	in := assemble(f, open)
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, &untilDone{ctx, in}); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.sum {
		return fmt.Errorf("%s has SHA-256 %.12s… when it is put together, the release says %.12s…: %s", f.path, got,
			f.sum,
			again)
	}
	return nil
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u *untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

func (r *Release) verifyPlain(ctx context.Context, open opener, tmp string) error {
	tmp, err := os.MkdirTemp(tmp, "vggse-release-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	in, err := checkedLayer(*r.plan.plain, open)
	if err != nil {
		return err
	}
	defer in.Close()
	path, to := filepath.Join(tmp, "layer.tar"), filepath.Join(tmp, "bundle")
	if err := writeFile(path, &untilDone{ctx, in}); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	source, err := bundle.OpenSource(path)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := source.CopyTo(ctx, to); err != nil {
		return err
	}
	return r.Approve(to)
}

func writeFile(path string, from io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, from)
	return err
}
