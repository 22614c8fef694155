package release

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// opener opens the content of a layer from its beginning.
type opener func(d ocispec.Descriptor) (io.ReadCloser, error)

// assembly reads a file out of its parts: the skeleton fills what the pieces leave.
type assembly struct {
	file     *planFile
	skeleton chain
	piece    io.ReadCloser // under way; nil: the next bytes are the skeleton's
	next     int           // piece
	at       int64
	open     opener
}

// assemble reads f; the reader ends with an error where a part is not what its digest says.
func assemble(f *planFile, open opener) io.ReadCloser {
	return &assembly{file: f, open: open, skeleton: chain{layers: f.skeleton, open: open}}
}

func (a *assembly) Read(p []byte) (int, error) {
	if a.at == a.file.size {
		return 0, a.finish()
	}
	end := a.file.size
	if a.next < len(a.file.pieces) {
		end = a.file.pieces[a.next].offset
	}
	from := io.Reader(&a.skeleton)
	if a.at == end {
		d := a.file.pieces[a.next].layer
		if a.piece == nil {
			r, err := checkedLayer(d, a.open)
			if err != nil {
				return 0, err
			}
			a.piece = r
		}
		from, end = a.piece, a.at+int64(len(p))
	}
	n, err := from.Read(p[:min(int64(len(p)), end-a.at)])
	if a.piece != nil {
		return a.pieceRead(n, err)
	}
	a.at += int64(n)
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", a.file.path, io.ErrUnexpectedEOF)
	}
	return n, err
}

// pieceRead counts what was read of a piece, whose offset stays that of its beginning until its end.
func (a *assembly) pieceRead(n int, err error) (int, error) {
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	a.at += a.file.pieces[a.next].layer.Size
	a.next++
	err = a.piece.Close()
	a.piece = nil
	return n, err
}

// finish sees that the last part of the skeleton ended well.
func (a *assembly) finish() error {
	if _, err := a.skeleton.Read(make([]byte, 1)); err != nil {
		return err
	}
	return fmt.Errorf("%s goes on behind its end", a.file.path)
}

func (a *assembly) Close() error {
	var err error
	if a.piece != nil {
		err = a.piece.Close()
	}
	return errors.Join(err, a.skeleton.Close())
}

// chain reads layers one after the other.
type chain struct {
	layers []ocispec.Descriptor
	open   opener
	now    io.ReadCloser
}

func (c *chain) Read(p []byte) (int, error) {
	for {
		if c.now == nil {
			if len(c.layers) == 0 {
				return 0, io.EOF
			}
			r, err := checkedLayer(c.layers[0], c.open)
			if err != nil {
				return 0, err
			}
			c.now, c.layers = r, c.layers[1:]
		}
		n, err := c.now.Read(p)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		err = c.now.Close()
		c.now = nil
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (c *chain) Close() error {
	if c.now == nil {
		return nil
	}
	return c.now.Close()
}

// checked reads a layer and ends with an error instead of its end where it is not what its
// descriptor says.
type checked struct {
	io.ReadCloser
	d    ocispec.Descriptor
	hash hash.Hash
	n    int64
}

func checkedLayer(d ocispec.Descriptor, open opener) (io.ReadCloser, error) {
	r, err := open(d)
	if err != nil {
		return nil, err
	}
	return &checked{ReadCloser: r, d: d, hash: digest.Canonical.Hash()}, nil
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n += int64(n)
	c.hash.Write(p[:n])
	if c.n > c.d.Size || errors.Is(err, io.EOF) &&
		digest.NewDigest(digest.Canonical, c.hash) != c.d.Digest {
		return 0, errWrong(c.d)
	}
	return n, err
}

// errWrong is that a layer is not what its digest says.
func errWrong(d ocispec.Descriptor) error {
	return errGone{fmt.Errorf("piece %.19s… is not what its digest says: it was changed or damaged, get the release "+
		"again",
		d.Digest)}
}
