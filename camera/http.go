package camera

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	pictureLimit = 32 << 20 // bytes of one picture that comes by HTTP
	headerLimit  = 64 << 10 // of what stands before a picture
	// badInRow is how many pictures that cannot be decoded may follow one another.
	badInRow = 30
	// snapshotFPS is how many pictures a second are fetched from a snapshot address that says nothing.
	snapshotFPS = 1
)

// web is a camera that is read by HTTP: an MJPEG stream, or an address that gives one picture at a
// time.
type web struct {
	uri    *URI
	client *webClient
	flip   Flip
	pace   pace // of snapshots

	body  io.ReadCloser // of the answer under way; nil: none
	in    *bufio.Reader // of a stream; nil: snapshots
	mark  []byte        // the line that parts begin with; nil: not seen yet
	atEnd bool          // the mark behind the newest picture has been read
	data  []byte        // the newest picture as it came
	kept  vision.Frame  // of the newest snapshot
	fresh http.Header   // with which the next one is asked for: only where it has changed
	bad   int           // pictures in a row that could not be decoded
}

func openWeb(ctx context.Context, u *URI) (source, Info, error) {
	w := &web{uri: u, client: newWebClient(u), flip: u.Flip, fresh: make(http.Header)}
	a, err := w.client.get(ctx, nil)
	if err != nil {
		return nil, Info{}, errors.Join(err, w.close())
	}
	info := Info{Kind: "http", Live: true, ReadLimit: u.silence() + firstFrameLimit}
	kind, params, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		info.Backend = "mjpeg"
		w.body, w.in = a.Body, bufio.NewReaderSize(a.Body, headerLimit)
		if b := strings.TrimPrefix(params["boundary"], "--"); b != "" {
			w.mark = []byte("--" + b)
		}
		return w, info, nil
	}
	if err := w.snapshot(a); err != nil {
		return nil, Info{}, errors.Join(err, w.close())
	}
	info.Backend, info.FPS = "snapshots", snapshotFPS
	if u.FPS > 0 {
		info.FPS = u.FPS
	}
	info.ReadLimit += time.Duration(float64(time.Second) / info.FPS)
	w.pace = paceOf(info.FPS)
	w.body = nil
	return w, info, nil
}

// next reads the next picture. Of a stream it is the newest that has come; a snapshot that has not
// changed is shown again.
func (w *web) next(ctx context.Context, f *vision.Frame) error {
	if w.in == nil {
		if err := w.again(ctx); err != nil {
			return err
		}
		f.CopyFrom(&w.kept)
		return nil
	}
	for {
		if err := w.part(); err != nil {
			return w.lost(ctx, err)
		}
		if w.in.Buffered() > len(w.data) { // a newer one is there, too
			continue
		}
		err := decodeStill(w.data, f, w.flip, true)
		if err == nil {
			w.bad, w.client.timed.limit = 0, w.uri.silence()
			return nil
		}
		if err := w.broken(err); err != nil {
			return err
		}
	}
}

// broken counts a picture that cannot be decoded, and is an error where all of them are so.
func (w *web) broken(err error) error {
	if w.bad++; w.bad >= badInRow || errors.Is(err, ErrNoOpenCV) {
		return fmt.Errorf("%w: the camera sends pictures that cannot be read: %w", ErrLost, err)
	}
	return nil
}

// again fetches the snapshot when its time has come; the first one has been fetched.
func (w *web) again(ctx context.Context) error {
	first := w.pace.next.IsZero()
	if err := w.pace.wait(ctx); err != nil || first {
		return err
	}
	a, err := w.client.get(ctx, w.fresh)
	if err != nil {
		return err
	}
	if a.StatusCode == http.StatusNotModified {
		return a.Body.Close()
	}
	return w.snapshot(a)
}

// snapshot takes the picture of an answer; one that is damaged leaves the one before.
func (w *web) snapshot(a *http.Response) error {
	defer a.Body.Close()
	data, err := io.ReadAll(io.LimitReader(a.Body, pictureLimit+1))
	switch {
	case err != nil:
		return w.lost(context.Background(), err)
	case len(data) > pictureLimit:
		return fmt.Errorf("%w: the picture is larger than %d MiB", ErrLost, pictureLimit>>20)
	}
	w.fresh = make(http.Header)
	for ask, tag := range map[string]string{"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"} {
		if v := a.Header.Get(tag); v != "" {
			w.fresh.Set(ask, v)
		}
	}
	var frame vision.Frame
	if err := decodeStill(data, &frame, w.flip, true); err != nil {
		if w.kept.Pix == nil {
			return fmt.Errorf("%w: what is at this address is no picture (%s): %w", ErrLost,
				a.Header.Get("Content-Type"), err)
		}
		return w.broken(err)
	}
	w.kept, w.bad = frame, 0
	return nil
}

// part reads the next part of a stream into data.
func (w *web) part() error {
	if err := w.toMark(); err != nil {
		return err
	}
	header, err := textproto.NewReader(bufio.NewReader(io.LimitReader(oneHeader{w.in}, headerLimit))).ReadMIMEHeader()
	if err != nil && len(header) == 0 {
		return fmt.Errorf("a part has no header: %w", err)
	}
	w.data = w.data[:0]
	if n, err := strconv.Atoi(header.Get("Content-Length")); err == nil && n > 0 {
		if n > pictureLimit {
			return fmt.Errorf("a picture of %d bytes", n)
		}
		if cap(w.data) < n {
			w.data = make([]byte, 0, n+n/4)
		}
		w.data = w.data[:n]
		_, err := io.ReadFull(w.in, w.data)
		return err
	}
	return w.untilMark()
}

// oneHeader reads lines up to the empty one, and not a byte more: what is behind belongs to the
// picture.
type oneHeader struct{ in *bufio.Reader }

func (h oneHeader) Read(p []byte) (int, error) {
	b, err := h.in.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// toMark reads up to the line that begins a part.
func (w *web) toMark() error {
	if w.atEnd {
		w.atEnd = false
		return nil
	}
	for read := 0; read < pictureLimit; {
		line, err := w.in.ReadSlice('\n')
		read += len(line)
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case w.mark == nil && len(text) > 2 && bytes.HasPrefix(text, []byte("--")):
			w.mark = bytes.Clone(text)
			return nil
		// Some servers name a boundary with its dashes, and some without.
		case w.mark != nil && bytes.HasPrefix(bytes.TrimLeft(text, "-"), bytes.TrimLeft(w.mark, "-")):
			if bytes.HasSuffix(text, append(bytes.Clone(w.mark), "--"...)) {
				return io.EOF
			}
			return nil
		}
	}
	return errors.New("what comes has no parts")
}

// untilMark reads a picture whose length nobody tells. The mark that ends it is the next one's.
func (w *web) untilMark() error {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		w.data = append(w.data, line...)
		if len(w.data) > pictureLimit {
			return errors.New("a picture without end")
		}
		start := bytes.LastIndexByte(w.data[:max(0, len(w.data)-1)], '\n') + 1
		if text := bytes.TrimRight(w.data[start:], "\r\n"); bytes.HasPrefix(bytes.TrimLeft(text, "-"),
			bytes.TrimLeft(w.mark, "-")) && bytes.HasPrefix(text, []byte("--")) {
			w.data, w.atEnd = bytes.TrimSuffix(bytes.TrimSuffix(w.data[:start], []byte("\n")), []byte("\r")), true
			return nil
		}
	}
}

// lost is the error of a connection that has ended or fallen silent.
func (w *web) lost(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no picture for %.1f s", ErrStalled, w.client.timed.limit.Seconds())
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the stream ended", ErrLost)
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

func (w *web) close() error {
	if w.body != nil {
		w.body.Close()
	}
	w.client.close()
	return nil
}
