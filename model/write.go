package model

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// WriteSpec checks the manifest and writes it into the folder dir, as WriteFile does. Its YAML is what
// OpenBundle reads.
func WriteSpec(dir string, s *Spec) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("model: manifest: %w", err)
	}
	var text bytes.Buffer
	enc := yaml.NewEncoder(&text)
	enc.SetIndent(2)
	if err := enc.Encode(s); err != nil {
		return fmt.Errorf("model: manifest: %w", err)
	}
	return atomicfile.WriteFile(filepath.Join(dir, SpecFile), func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	})
}
