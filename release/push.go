package release

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Push copies an image with its statement to a registry, a folder or a .tar file. In a registry and
// a folder what is there already is kept and not sent again.
func Push(ctx context.Context, m *Image, s *Signed, to Place) error {
	d, err := s.attach(m)
	if err == nil {
		switch {
		case to.Registry != "":
			err = pushRegistry(ctx, m, s, d, to)
		case to.isTar():
			err = atomicfile.WriteFile(to.Path, func(w io.Writer) error { return writeTar(ctx, w, m, s, d) })
		default:
			err = pushFolder(ctx, m, s, d, to.Path)
		}
	}
	if err != nil {
		return fmt.Errorf("release: push to %s: %w", to, err)
	}
	return nil
}

func (s *Signed) tag() string { return strconv.FormatInt(s.Statement.Release, 10) }

// copyOptions keep memory and streams few.
func copyOptions() oras.CopyGraphOptions {
	return oras.CopyGraphOptions{Concurrency: 2, MaxMetadataBytes: manifestBytes}
}

func pushRegistry(ctx context.Context, m *Image, s *Signed, statement ocispec.Descriptor, to Place) error {
	if name := to.name(); name != s.Statement.Name {
		return fmt.Errorf("the release is one of %q: its repository must end in that name", s.Statement.Name)
	}
	repo, err := to.repository()
	if err != nil {
		return err
	}
	if old, err := repo.Resolve(ctx, s.tag()); err == nil && old.Digest != m.Descriptor().Digest {
		return fmt.Errorf("release %d is there with another image: releases never change, take a higher number",
			s.Statement.Release)
	}
	if err := oras.CopyGraph(ctx, m, repo, m.Descriptor(), copyOptions()); err != nil {
		return explain(err)
	}
	if err := oras.CopyGraph(ctx, m, repo, statement, copyOptions()); err != nil {
		return explain(err)
	}
	return explain(repo.Tag(ctx, m.Descriptor(), s.tag())) // last: whoever finds the number finds all of it
}

func pushFolder(ctx context.Context, m *Image, s *Signed, statement ocispec.Descriptor, dir string) error {
	if err := mayBeLayout(dir); err != nil {
		return err
	}
	store, err := oci.NewWithContext(ctx, dir)
	if err != nil {
		return err
	}
	store.AutoSaveIndex = false
	for _, d := range []ocispec.Descriptor{m.Descriptor(), statement} {
		if err := oras.CopyGraph(ctx, m, store, d, copyOptions()); err != nil {
			return err
		}
	}
	if err := s.WriteTo(dir); err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(dir, "ingest")) // oras's, empty; another push may be using it
	return updateIndex(filepath.Join(dir, ocispec.ImageIndexFile), s, m.Descriptor(), statement)
}

// mayBeLayout refuses a folder that holds something else than a layout.
func mayBeLayout(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageLayoutFile)); err != nil {
		return fmt.Errorf("the folder is not empty and no OCI layout: choose another")
	}
	return nil
}

// updateIndex adds a release to the index of a layout, by number.
func updateIndex(path string, s *Signed, image, statement ocispec.Descriptor) error {
	var old ocispec.Index
	text, err := atomicfile.ReadSmall(path, manifestBytes)
	if err == nil {
		err = json.Unmarshal(text, &old)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, d := range old.Manifests {
		if d.Annotations[ocispec.AnnotationRefName] == s.tag() && d.Digest != image.Digest {
			return fmt.Errorf("release %d is there with another image: releases never change, take a higher number",
				s.Statement.Release)
		}
	}
	if text, err = indexOf(append(old.Manifests, indexEntries(s, image, statement)...)); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

func indexEntries(s *Signed, image, statement ocispec.Descriptor) []ocispec.Descriptor {
	image.Annotations = map[string]string{ocispec.AnnotationRefName: s.tag()}
	return []ocispec.Descriptor{image, statement}
}

// indexOf is the text of an index with the given entries, each once, in one order.
func indexOf(all []ocispec.Descriptor) ([]byte, error) {
	number := func(d ocispec.Descriptor) int {
		n, err := strconv.Atoi(d.Annotations[ocispec.AnnotationRefName])
		if err != nil {
			return 1 << 60 // statements and whatever else was there come last
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b ocispec.Descriptor) int { return number(a) - number(b) })
	same := func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest && number(a) == number(b) }
	var kept []ocispec.Descriptor
	for _, d := range all {
		if !slices.ContainsFunc(kept, func(k ocispec.Descriptor) bool { return same(d, k) }) {
			kept = append(kept, d)
		}
	}
	return json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: kept})
}

// writeTar writes a layout as one tar file: small files first, then the blobs by digest. Owners,
// times and modes are always the same.
func writeTar(ctx context.Context, w io.Writer, m *Image, s *Signed, statement ocispec.Descriptor) error {
	out := tar.NewWriter(w)
	index, err := indexOf(indexEntries(s, m.Descriptor(), statement))
	if err != nil {
		return err
	}
	layout := []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)
	for _, f := range []struct {
		name string
		text []byte
	}{
		{bundle.StatementFile, s.Raw}, {bundle.SignatureFile, s.Signature}, {ocispec.ImageLayoutFile, layout},
		{ocispec.ImageIndexFile, index},
	} {
		if err := addToTar(out, f.name, inMemory(f.text)); err != nil {
			return err
		}
	}
	for _, d := range slices.Sorted(maps.Keys(m.blobs)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := addToTar(out, "blobs/sha256/"+d.Encoded(), m.blobs[d]); err != nil {
			return err
		}
	}
	return out.Close()
}

func addToTar(out *tar.Writer, name string, b blob) error {
	err := out.WriteHeader(&tar.Header{Name: name, Size: b.size, Mode: 0o644, ModTime: time.Unix(0, 0),
		Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(out, r)
	return err
}
