package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/vggse/vggse-agent/bundle"
)

// source is a place that is open for reading. What it gives is not checked yet.
type source interface {
	// find is the manifest of a release; 0: the highest number.
	find(ctx context.Context, release int64) (ocispec.Descriptor, error)
	// statements are those about the manifest, with their signatures: some may be others'.
	statements(ctx context.Context, image ocispec.Descriptor) ([]signedBytes, error)
	// fetch opens content from its beginning; the reader may be an io.Seeker.
	fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error)
	Close() error
}

type signedBytes struct{ raw, signature []byte }

// statementsRead is how many statements about one image are looked at.
const statementsRead = 16

// open opens a place for reading.
func (p Place) open() (source, error) {
	switch {
	case p.Registry != "":
		repo, err := p.repository()
		return &registrySource{repo}, err
	case p.isTar():
		f, err := openTar(p.Path)
		if err != nil {
			return nil, err
		}
		return openLayout(f)
	}
	f, err := openFolder(p.Path)
	if err != nil {
		return nil, err
	}
	return openLayout(f)
}

// layoutSource is a folder or tar file.
type layoutSource struct {
	files
	index *ocispec.Index
}

func openLayout(f files) (*layoutSource, error) {
	index, err := readIndex(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &layoutSource{f, index}, nil
}

func (s *layoutSource) find(_ context.Context, release int64) (found ocispec.Descriptor, err error) {
	highest := int64(0)
	for _, d := range s.index.Manifests {
		n, err := strconv.ParseInt(d.Annotations[ocispec.AnnotationRefName], 10, 64)
		if err != nil || n < 1 || release != 0 && n != release || n <= highest {
			continue
		}
		highest, found = n, d
	}
	if highest == 0 && release != 0 {
		return found, errGone{fmt.Errorf("it has no release %d", release)}
	}
	if highest == 0 {
		return found, errGone{errors.New("it has no release: push one there with 'vggse-agent release push'")}
	}
	found.Annotations = nil
	return found, nil
}

func (s *layoutSource) statements(ctx context.Context, image ocispec.Descriptor) ([]signedBytes, error) {
	var all []signedBytes
	raw, err := readSmall(s.files, bundle.StatementFile, statementBytes)
	if err == nil {
		var signature []byte
		if signature, err = readSmall(s.files, bundle.SignatureFile, signatureBytes); err == nil {
			all = append(all, signedBytes{raw, signature})
		}
	}
	if err := missing(err); err != nil {
		return nil, err
	}
	var referrers []ocispec.Descriptor
	for _, d := range s.index.Manifests {
		if d.ArtifactType == typeStatement {
			referrers = append(referrers, d)
		}
	}
	return readStatements(ctx, s, image, referrers, all)
}

func (s *layoutSource) fetch(_ context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	name, err := blobName(d.Digest)
	if err != nil {
		return nil, err
	}
	r, size, err := s.open(name)
	if err != nil {
		return nil, errGone{fmt.Errorf("%.19s… is missing: %w", d.Digest, err)}
	}
	if size != d.Size {
		r.Close()
		return nil, errGone{fmt.Errorf("%.19s… has %d bytes, the release says %d: get it again", d.Digest, size,
			d.Size)}
	}
	return r, nil
}

// registrySource is a repository of a registry.
type registrySource struct{ repo *remote.Repository }

func (s *registrySource) Close() error { return nil }

func (s *registrySource) find(ctx context.Context, release int64) (ocispec.Descriptor, error) {
	if release == 0 {
		err := s.repo.Tags(ctx, "", func(tags []string) error {
			for _, tag := range tags {
				if n, err := strconv.ParseInt(tag, 10, 64); err == nil && strconv.FormatInt(n, 10) == tag {
					release = max(release, n)
				}
			}
			return nil
		})
		if err != nil {
			return ocispec.Descriptor{}, explain(err)
		}
		if release == 0 {
			return ocispec.Descriptor{}, errGone{errors.New("the registry has no release of that name")}
		}
	}
	d, err := s.repo.Resolve(ctx, strconv.FormatInt(release, 10))
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, explain(err)
}

func (s *registrySource) statements(ctx context.Context, image ocispec.Descriptor) ([]signedBytes, error) {
	var referrers []ocispec.Descriptor
	err := s.repo.Referrers(ctx, image, typeStatement, func(page []ocispec.Descriptor) error {
		referrers = append(referrers, page...)
		return nil
	})
	if err != nil {
		return nil, explain(err)
	}
	return readStatements(ctx, s, image, referrers, nil)
}

func (s *registrySource) fetch(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	r, err := s.repo.Fetch(ctx, d)
	return r, explain(err)
}

// readStatements reads the statements that refer to the image. One that is damaged does not hide the
// others.
func readStatements(ctx context.Context, s source, image ocispec.Descriptor, referrers []ocispec.Descriptor,
	all []signedBytes) ([]signedBytes, error) {
	var first error
	for _, d := range referrers[:min(len(referrers), statementsRead)] {
		one, err := readReferrer(ctx, s, image, d)
		switch {
		case err == nil && one.raw != nil:
			all = append(all, one)
		case first == nil:
			first = err
		}
	}
	if len(all) == 0 {
		return nil, first
	}
	return all, nil
}

// readReferrer reads one statement; that of another image is none.
func readReferrer(ctx context.Context, s source, image, d ocispec.Descriptor) (one signedBytes, err error) {
	text, err := readBlob(ctx, s, d, statementBytes)
	if err != nil {
		return one, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return one, fmt.Errorf("the statement's manifest is damaged: %w", err)
	}
	if m.Subject == nil || m.Subject.Digest != image.Digest {
		return one, nil
	}
	i := slices.IndexFunc(m.Layers, func(l ocispec.Descriptor) bool { return l.MediaType == typeStatement })
	j := slices.IndexFunc(m.Layers, func(l ocispec.Descriptor) bool { return l.MediaType == typeSignature })
	if i < 0 || j < 0 {
		return one, errors.New("the statement's manifest names no statement or no signature: push the release again")
	}
	if one.raw, err = readBlob(ctx, s, m.Layers[i], statementBytes); err != nil {
		return signedBytes{}, err
	}
	one.signature, err = readBlob(ctx, s, m.Layers[j], signatureBytes)
	return one, err
}

// readBlob reads small content whole: its size is known before its first byte, its digest after the
// last.
func readBlob(ctx context.Context, s source, d ocispec.Descriptor, limit int64) ([]byte, error) {
	if d.Size < 0 || d.Size > limit {
		return nil, errGone{fmt.Errorf("%.19s… has %d bytes, at most %d are possible: get the release again", d.Digest,
			d.Size, limit)}
	}
	if !isSHA256(string(d.Digest)) {
		return nil, errGone{fmt.Errorf("%.80q is no SHA-256 digest: get the release again", string(d.Digest))}
	}
	r, err := s.fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, d.Size+1))
	if err != nil {
		return nil, err
	}
	if digest.FromBytes(text) != d.Digest {
		return nil, errGone{fmt.Errorf("%.19s… is not what its digest says: it was changed or damaged, get the "+
			"release again", d.Digest)}
	}
	return text, nil
}
