package model

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
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
	return WriteFile(filepath.Join(dir, SpecFile), func(w io.Writer) error {
		_, err := w.Write(text.Bytes())
		return err
	})
}

// WriteFile makes the file at path hold what write writes, readable by all, or leaves what was there
// before: it writes aside in the same folder, syncs, renames and syncs the folder. The error wraps that
// of write.
func WriteFile(path string, write func(io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return fmt.Errorf("model: write %s: %w", path, err)
	}
	return nil
}

func replace(path string, write func(io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes a rename in the folder dir last through a power cut.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
