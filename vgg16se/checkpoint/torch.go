package checkpoint

import (
	"archive/zip"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// content finds the bytes of a storage in the file.
type content func(*storage) ([]byte, error)

// maxDirectory bounds what is read of a zip file besides the weights; 4 MB list some 50,000
// storages.
const maxDirectory = 4 << 20

// budgetReader stops a zip file whose directory is out of proportion.
type budgetReader struct {
	io.ReaderAt
	left int
}

func (r *budgetReader) ReadAt(p []byte, at int64) (int, error) {
	if r.left -= len(p); r.left < 0 {
		return 0, errTooMuch
	}
	return r.ReaderAt.ReadAt(p, at)
}

// parseZip reads what torch.save writes since PyTorch 1.6: a zip file, nothing compressed, with
// NAME/data.pkl and one NAME/data/KEY per storage (torch/serialization.py,
// caffe2/serialize/inline_container.cc).
func parseZip(b []byte, key string) (*File, error) {
	archive, err := zip.NewReader(&budgetReader{bytes.NewReader(b), maxDirectory}, int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("truncated or damaged: %w", err)
	}
	files := make(map[string]*zip.File, len(archive.File))
	prefix, found := "", false
	for _, f := range archive.File {
		files[f.Name] = f
		if dir, ok := strings.CutSuffix(f.Name, "data.pkl"); ok && strings.Count(f.Name, "/") <= 1 {
			prefix, found = dir, true
		}
	}
	for _, f := range archive.File {
		if path.Base(f.Name) == "archive_format" || path.Base(f.Name) == "serialized_exported_program.json" {
			return nil, errors.New("a program of torch.export (.pt2): save with " +
				"torch.save(model.state_dict(), …), or export it to .onnx")
		}
		if !found && strings.HasSuffix(f.Name, ".npy") {
			return nil, errors.New("numpy's .npz: save its arrays with safetensors.numpy.save_file, under the names " +
				"of the network")
		}
		kinds := []string{".pth", ".pt", ".ckpt", ".onnx", ".safetensors"}
		if !found && slices.Contains(kinds, strings.ToLower(path.Ext(f.Name))) {
			return nil, fmt.Errorf("a ZIP archive with %q in it: unpack it first", f.Name)
		}
	}
	if !found {
		return nil, errFormat
	}
	if files[prefix+"constants.pkl"] != nil {
		return nil, errors.New("a TorchScript archive: save with torch.save(model.state_dict(), …), or export it " +
			"to .onnx")
	}
	order, err := stored(b, files[prefix+"byteorder"])
	if err == nil && string(order) == "big" {
		return nil, errors.New("saved on a big-endian machine: load and save it on another")
	}
	program, err := stored(b, files[prefix+"data.pkl"])
	if err != nil {
		return nil, err
	}
	root, ran, err := unpickle(program)
	if err != nil {
		return nil, err
	}
	return choose(TorchZip, root, ran.stranger, key, func(s *storage) ([]byte, error) {
		return stored(b, files[prefix+"data/"+s.key])
	})
}

// stored returns the content of a file in the archive in place.
func stored(b []byte, f *zip.File) ([]byte, error) {
	if f == nil {
		return nil, errors.New("damaged: a file is missing in the archive")
	}
	if f.Method != zip.Store || f.CompressedSize64 != f.UncompressedSize64 {
		return nil, fmt.Errorf("%s is compressed, which PyTorch never does: save it again with torch.save", f.Name)
	}
	from, err := f.DataOffset()
	if err != nil || from < 0 || from > int64(len(b)) || f.UncompressedSize64 > uint64(int64(len(b))-from) {
		return nil, fmt.Errorf("truncated or damaged: %s lies outside of the file", f.Name)
	}
	return b[from : from+int64(f.UncompressedSize64)], nil
}

// legacyMagic is the number 0x1950a86a20f9469cfc6c as a pickle spells it (LONG1, 10 bytes).
var legacyMagic = []byte{0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}

// parseLegacy reads what torch.save wrote before PyTorch 1.6: pickles of a magic number, the
// version, facts of the machine, the object, and the list of storage keys; then in that order each
// storage, its count in 8 bytes before it.
func parseLegacy(b []byte, key string) (*File, error) {
	var parts [5]any
	storages, stranger := map[string]*storage{}, global("")
	for i := range parts {
		part, m, err := unpickle(b)
		if err != nil {
			return nil, err
		}
		parts[i], b = part, m.b
		maps.Copy(storages, m.storages)
		stranger = cmp.Or(stranger, m.stranger)
	}
	if parts[1] != any(int64(1001)) {
		return nil, fmt.Errorf("version %v of the legacy format is not 1001", parts[1])
	}
	if facts, ok := parts[2].(*dict); ok && facts.get("little_endian") == any(false) {
		return nil, errors.New("saved on a big-endian machine: load and save it on another")
	}
	keys, ok := parts[4].(*list)
	if !ok {
		return nil, errPickle
	}
	where := map[string][]byte{}
	for _, k := range keys.items {
		name, _ := k.(string)
		s := storages[name]
		if s == nil {
			return nil, fmt.Errorf("damaged: nothing uses its storage %q", name)
		}
		if len(b) < 8 {
			return nil, errors.New("truncated: a storage is missing")
		}
		n := binary.LittleEndian.Uint64(b)
		if b = b[8:]; n > uint64(len(b))/uint64(s.kind.Width()) {
			return nil, fmt.Errorf("truncated: a storage of %d elements is not complete", n)
		}
		n *= uint64(s.kind.Width())
		where[name], b = b[:n], b[n:]
	}
	return choose(TorchLegacy, parts[3], stranger, key, func(s *storage) ([]byte, error) {
		if data, ok := where[s.key]; ok {
			return data, nil
		}
		return nil, errors.New("damaged: a storage is missing")
	})
}
