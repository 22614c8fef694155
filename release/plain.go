package release

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/vggse/vggse-agent/bundle"
)

// NewPlainImage puts the bundle in the folder dir, without the files whose keys are in without, into
// one standard tar layer, which every container runtime mounts: for one machine of the given
// architecture (arm64, amd64), for runtimes ask. The layer is written to a file in the folder tmp.
// Nothing of it is shared with other releases.
func NewPlainImage(ctx context.Context, dir string, without []string, arch, tmp string) (*Image, error) {
	m, err := openImage(dir, without)
	if err == nil {
		err = m.packLayer(ctx, arch, tmp)
	}
	if err != nil {
		return nil, fmt.Errorf("release: %w", err)
	}
	return m, nil
}

func (m *Image) packLayer(ctx context.Context, arch, tmp string) error {
	path := filepath.Join(tmp, "layer.tar")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sum := digest.Canonical.Digester()
	if err := bundle.PackWithout(ctx, m.Bundle, m.Text, m.Left, io.MultiWriter(f, sum.Hash())); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	m.add(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: sum.Digest(), Size: info.Size(),
		Annotations: map[string]string{annotationPath: m.Bundle.Spec.Name + ".tar"}},
		blob{info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }})
	image := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{sum.Digest()}}}
	if created := m.Bundle.Spec.Provenance.Created.UTC(); !created.IsZero() {
		image.Created = &created
	}
	config, err := json.Marshal(image)
	if err != nil {
		return err
	}
	return m.seal("", ocispec.MediaTypeImageConfig, config)
}
