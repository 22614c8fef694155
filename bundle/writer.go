package bundle

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// WriteSpec checks the manifest and writes it into the folder dir, as WriteFile does. Its YAML is
// what Open reads.
func WriteSpec(dir string, s *Spec) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("bundle: manifest: %w", err)
	}
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("bundle: manifest: %w", err)
	}
	return atomicfile.WriteFile(filepath.Join(dir, SpecFile), func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	})
}

// WriteFile writes dir/name, counting on progress, and returns its manifest entry. It ends early
// with ctx.
func WriteFile(ctx context.Context, dir, name string, progress io.Writer, write func(io.Writer) error) (File, error) {
	sum, size, err := atomicfile.WriteHashed(ctx, filepath.Join(dir, name), progress, write)
	return File{Path: name, SHA256: sum, Bytes: size}, err
}
