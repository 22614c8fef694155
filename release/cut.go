package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/onnx"
)

// How files are cut. The borders are fixed from the beginning of each constant on, so that those of
// one architecture align.
const (
	pieceBytes = 16 << 20 // of a piece, at most
	leastBytes = 16 << 10 // of a constant that gets pieces of its own
)

// section is a stretch of a file.
type section struct{ offset, size int64 }

// part is one blob of a release: a piece of a file, or a part of its skeleton, which is what is left
// of it without its pieces.
type part struct {
	digest   string // sha256:…
	size     int64
	offset   int64 // of a piece in the file; -1: skeleton
	sections []section
}

// cut is a file in parts: those of the skeleton first, then the pieces, both in the order of the
// file.
type cut struct {
	file  bundle.File
	path  string // on this machine
	parts []part
}

// open reads a part out of the file.
func (c *cut) open(p part) (io.ReadCloser, error) {
	f, err := atomicfile.OpenRegular(c.path)
	if err != nil {
		return nil, err
	}
	readers := make([]io.Reader, len(p.sections))
	for i, s := range p.sections {
		readers[i] = io.NewSectionReader(f, s.offset, s.size)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(readers...), f}, nil
}

// spansOf are the places of large constants in the files of a bundle, by path in the bundle. A file
// that is no network has none, and neither has one that cannot be read.
func spansOf(b *bundle.Bundle) map[string][]onnx.Span {
	all := make(map[string][]onnx.Span)
	for key, f := range b.Spec.Files {
		if filepath.Ext(f.Path) != ".onnx" {
			continue
		}
		path, err := b.Path(key)
		if err != nil {
			continue
		}
		found, err := onnx.Spans(path, leastBytes)
		if err != nil {
			continue
		}
		for name, spans := range found {
			if name == "" {
				name = filepath.Base(f.Path)
			}
			all[filepath.Join(filepath.Dir(f.Path), name)] = spans
		}
	}
	return all
}

// layOut says where the parts of a file of the given size are.
func layOut(size int64, spans []onnx.Span) []part {
	if len(spans) == 0 {
		spans = []onnx.Span{{Offset: 0, Size: size}}
	}
	var skeleton, pieces []part
	at := int64(0)
	for _, s := range append(spans, onnx.Span{Offset: size}) {
		skeleton = addGap(skeleton, section{at, s.Offset - at})
		for done := int64(0); done < s.Size; done += pieceBytes {
			n := min(pieceBytes, s.Size-done)
			pieces = append(pieces, part{size: n, offset: s.Offset + done, sections: []section{{s.Offset + done, n}}})
		}
		at = s.Offset + s.Size
	}
	return append(skeleton, pieces...)
}

// addGap adds a stretch between constants to the skeleton.
func addGap(skeleton []part, gap section) []part {
	for gap.size > 0 {
		if n := len(skeleton); n == 0 || skeleton[n-1].size == pieceBytes {
			skeleton = append(skeleton, part{offset: -1})
		}
		p := &skeleton[len(skeleton)-1]
		n := min(gap.size, pieceBytes-p.size)
		p.sections, p.size = append(p.sections, section{gap.offset, n}), p.size+n
		gap.offset, gap.size = gap.offset+n, gap.size-n
	}
	return skeleton
}

// cutFile cuts one file of a bundle and hashes its parts. want says of which sizes parts are looked
// for; nil: all.
func cutFile(ctx context.Context, b *bundle.Bundle, f bundle.File, spans []onnx.Span, want map[int64]bool,
	slow *pace) (*cut, error) {
	c := &cut{file: f, path: filepath.Join(b.Dir, f.Path)}
	info, err := os.Stat(c.path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty: it cannot be released", f.Path)
	}
	c.file.Bytes = info.Size()
	c.parts = layOut(info.Size(), spans)
	for i := range c.parts {
		p := &c.parts[i]
		if want != nil && !want[p.size] {
			continue
		}
		if p.digest, err = c.hash(ctx, *p, slow); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *cut) hash(ctx context.Context, p part, slow *pace) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	r, err := c.open(p)
	if err != nil {
		return "", err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, slow.paced(ctx, r)); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
