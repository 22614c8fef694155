// Command image writes an OCI image layout, as one tar file, out of the layers that cross/image.sh made:
// amd64=FOLDER arm64=FOLDER, each with base.tar and program.tar. The same layers make the same bytes.
package main

import (
	"archive/tar"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// user is who the agent is in the image: vggse-agent, with a number that volumes can be given to.
const user = "10001:10001"

func main() {
	out := flag.String("out", "", "the tar file")
	name := flag.String("name", "vggse-agent", "what the image is called, with a tag")
	version := flag.String("version", "dev", "of the agent")
	epoch := flag.Int64("epoch", 0, "when it was made, seconds since 1970")
	flag.Parse()
	if err := run(*out, *name, *version, time.Unix(*epoch, 0).UTC(), flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(out, name, version string, made time.Time, platforms []string) error {
	if out == "" || len(platforms) == 0 {
		return errors.New("usage: image --out FILE [--name NAME:TAG] [--version V] [--epoch N] ARCH=FOLDER…")
	}
	index := v1.ImageIndex(mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	for _, p := range platforms {
		arch, folder, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q is not ARCH=FOLDER", p)
		}
		image, err := newImage(arch, folder, version, made)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	dir, err := os.MkdirTemp(filepath.Dir(out), ".image-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": name[strings.LastIndex(name, ":")+1:],
		"io.containerd.image.name":          name,
	})); err != nil {
		return err
	}
	return pack(dir, out, made)
}

// newImage is the image of one platform: Debian below, the agent above.
func newImage(arch, folder, version string, made time.Time) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, part := range []string{"base.tar", "program.tar"} {
		layer, err := tarball.LayerFromFile(filepath.Join(folder, part), tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, err
		}
		image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{
			Created: v1.Time{Time: made}, CreatedBy: "make image: " + part}})
		if err != nil {
			return nil, err
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: made}
	file.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/usr/bin/vggse-agent"},
		Cmd:        []string{"run", "--config", "/etc/vggse-agent/vggse-agent.yaml"},
		WorkingDir: "/",
		StopSignal: "SIGTERM",
		Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "STATE_DIRECTORY=/var/lib/vggse-agent",
			"CACHE_DIRECTORY=/var/cache/vggse-agent", "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT=3",
			"GST_REGISTRY=/var/cache/vggse-agent/gst-registry.bin"},
		Volumes: map[string]struct{}{"/var/lib/vggse-agent": {}, "/var/cache/vggse-agent": {}},
		Labels: map[string]string{"org.opencontainers.image.title": "vggse-agent",
			"org.opencontainers.image.version": version, "org.opencontainers.image.licenses": "Apache-2.0"},
	}
	return mutate.ConfigFile(image, file)
}

// pack writes the files of a folder into a tar file, in the order of their names.
func pack(dir, out string, made time.Time) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close() // the second time, where all is well
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return add(w, path, filepath.ToSlash(name), d.IsDir(), made)
	})
	return errors.Join(err, w.Close(), f.Close())
}

func add(w *tar.Writer, path, name string, dir bool, made time.Time) error {
	if dir {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: made})
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644, ModTime: made}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}
