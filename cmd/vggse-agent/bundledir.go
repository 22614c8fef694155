package main

import (
	"context"
	"io"
	"path/filepath"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/model"
)

// bundleFile writes dir/name, counting on progress, and returns its manifest entry. It ends early with ctx.
func bundleFile(ctx context.Context, dir, name string, progress io.Writer, write func(io.Writer) error) (model.File, error) {
	sum, size, err := atomicfile.WriteHashed(ctx, filepath.Join(dir, name), progress, write)
	return model.File{Path: name, SHA256: sum, Bytes: size}, err
}
