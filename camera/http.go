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
	"os"
	"slices"
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

	body io.ReadCloser // of the answer under way; nil: none
	in   *bufio.Reader // of a stream; nil: snapshots
	mark []byte        // the line that parts begin with; nil: not seen yet
	said []byte        // the one that the server has announced; nil: none
	// marked is whether the mark was seen; before, it is what the server has announced.
	marked bool
	bare   bool         // pictures follow one another without parts
	first  bool         // data is a picture that has not been shown
	atEnd  bool         // the mark behind the newest picture has been read
	data   []byte       // the newest picture as it came
	kept   vision.Frame // of the newest snapshot
	fresh  http.Header  // with which the next one is asked for: only where it has changed
	bad    int          // pictures in a row that could not be decoded
}

func openWeb(ctx context.Context, u *URI) (source, Info, error) {
	w := &web{uri: u, client: newWebClient(u), flip: u.Flip, fresh: make(http.Header)}
	a, err := w.client.get(ctx, nil)
	if err != nil {
		return nil, Info{}, errors.Join(err, w.close())
	}
	info := Info{Kind: "http", Live: true, ReadLimit: u.silence() + firstFrameLimit}
	w.body, w.in = a.Body, bufio.NewReaderSize(a.Body, headerLimit)
	stream, err := w.looksLikeStream(ctx, a)
	switch {
	case err != nil:
	case stream:
		info.Backend = "mjpeg"
		return w, info, nil
	default:
		err = w.snapshot(a)
	}
	if err != nil {
		return nil, Info{}, errors.Join(err, w.close())
	}
	w.in = nil
	info.Backend, info.FPS = "snapshots", snapshotFPS
	if u.FPS > 0 {
		info.FPS = u.FPS
	}
	info.ReadLimit += time.Duration(float64(time.Second) / info.FPS)
	w.pace = paceOf(info.FPS)
	w.body = nil
	return w, info, nil
}

// looksLikeStream reports whether an answer holds pictures without end, by what it calls itself or,
// where it does not say how long it is, by how it begins. It may read the first picture.
func (w *web) looksLikeStream(ctx context.Context, a *http.Response) (bool, error) {
	kind, params, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if kind == "application/x-rtsp-tunnelled" {
		return false, fmt.Errorf("%w: %s", ErrLost, tunnelled)
	}
	if strings.HasPrefix(kind, "multipart/") {
		if b := strings.TrimPrefix(params["boundary"], "--"); b != "" {
			w.mark, w.said = []byte("--"+b), []byte("--"+b)
		}
		return true, nil
	}
	if start, _ := w.in.Peek(len("0000ftyp")); !strings.HasPrefix(kind, "image/") {
		if what := filmAt(kind, start); what != "" {
			return false, fmt.Errorf("%w: what is at this address is %s, and neither MJPEG nor a picture: give the "+
				"camera's rtsp:// address, or write gst:uridecodebin uri=… with this one", ErrLost, what)
		}
	}
	if a.ContentLength >= 0 {
		return false, nil
	}
	start, err := w.in.Peek(2)
	switch {
	case err != nil:
		return false, nil
	case string(start) == "--":
		return true, nil
	case string(start) != jpegStart[:2]:
		return false, nil
	}
	w.bare = true
	if err := w.untilEnd(); err != nil && !errors.Is(err, io.EOF) {
		return false, w.lost(ctx, err)
	}
	w.first = true
	_, err = w.in.Peek(1) // one alone ends here
	return err == nil, nil
}

// filmAt says what film or stream an answer holds, by what it calls itself or how it begins; "": none that is
// known.
func filmAt(kind string, start []byte) string {
	switch {
	case strings.Contains(kind, "mpegurl") || bytes.HasPrefix(start, []byte("#EXTM3U")):
		return "a playlist (HLS)"
	case kind == "application/dash+xml":
		return "a playlist (DASH)"
	case strings.HasPrefix(kind, "video/") && kind != "video/x-motion-jpeg" && kind != "video/x-jpeg" &&
		kind != "video/mjpeg" && kind != "video/x-mjpeg" && kind != "video/jpeg":
		return "a film or a stream (" + kind + ")"
	case strings.HasPrefix(kind, "audio/"):
		return "sound (" + kind + ")"
	case bytes.HasPrefix(start, []byte("FLV")), bytes.HasPrefix(start, []byte("\x1aE\xdf\xa3")),
		len(start) == 8 && slices.Contains(boxStarts, string(start[4:])):
		return "a film or a stream"
	}
	return ""
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
	w.client.timed.until = time.Now().Add(w.uri.silence() + firstFrameLimit)
	for {
		if err := w.part(); err != nil {
			return w.lost(ctx, err)
		}
		if w.newer() {
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

// newer reports whether a whole picture is there that came after the newest. Where the mark behind
// that had to come, so has a part of the next one.
func (w *web) newer() bool {
	least := len(w.data)
	if w.atEnd || w.bare {
		least *= 2
	}
	return w.in.Buffered() > least
}

// broken counts a picture that cannot be decoded, and is an error where all of them are so.
func (w *web) broken(err error) error {
	if w.bad++; w.bad >= badInRow || errors.Is(err, ErrNoOpenCV) {
		return fmt.Errorf("%w: the camera sends pictures that cannot be read: %w; else check the path, or give the "+
			"camera's rtsp:// address", ErrLost, err)
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
	data, err := w.data, error(nil)
	if !w.first {
		data, err = w.whole(a)
	}
	if w.first = false; err == nil && len(data) <= pictureLimit {
		w.data = data
		w.trim() // a blank line of a script, or a mark of the order of bytes
		data = w.data
	}
	switch {
	case err != nil:
		return w.lost(context.Background(), err)
	case len(data) == 0:
		return fmt.Errorf("%w: the server's answer is empty: check the path, or restart the camera", ErrLost)
	case len(data) > pictureLimit:
		return fmt.Errorf("%w: the picture is larger than %d MiB: have the camera make smaller ones, or give the "+
			"rtsp:// address where this is a stream", ErrLost, pictureLimit>>20)
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
			return fmt.Errorf("%w: what is at this address is no picture (%s): %w; else check the path, or give the "+
				"camera's rtsp:// address", ErrLost, a.Header.Get("Content-Type"), err)
		}
		return w.broken(err)
	}
	w.kept, w.bad = frame, 0
	return nil
}

// whole reads an answer of one picture.
func (w *web) whole(a *http.Response) ([]byte, error) {
	in := io.Reader(a.Body)
	if w.in != nil { // some of it has been read
		in = w.in
	}
	return io.ReadAll(io.LimitReader(in, pictureLimit+1))
}

// part reads the next part of a stream into data.
func (w *web) part() error {
	switch {
	case w.first:
		w.first = false
		return nil
	case w.bare:
		return w.untilEnd()
	}
	if err := w.toMark(); err != nil {
		return err
	}
	length, err := w.header()
	if err != nil {
		return err
	}
	w.data = w.data[:0]
	if n := length; n > 0 {
		if n > pictureLimit {
			return fmt.Errorf("the stream holds a picture of %d bytes, more than %d MiB: have the camera make "+
				"smaller ones", n,
				pictureLimit>>20)
		}
		if cap(w.data) < n {
			w.data = make([]byte, 0, n+n/4)
		}
		w.data = w.data[:n]
		if _, err := io.ReadFull(w.in, w.data); err != nil {
			return err
		}
		w.trim()
		if !bytes.HasPrefix(w.data, []byte(jpegStart)) || jpegEnds(w.data) {
			return nil
		}
	} // what is shorter than it says, or said to be shorter than it is, ends at the mark
	err = w.untilMark()
	w.trim()
	return err
}

// trim takes away what stands before a JPEG.
func (w *web) trim() {
	if at := bytes.Index(w.data[:min(len(w.data), headerLimit)], []byte(jpegStart)); at > 0 &&
		!bytes.HasPrefix(w.data, []byte(pngStart)) && !bytes.HasPrefix(w.data, []byte("BM")) {
		w.data = append(w.data[:0], w.data[at:]...)
	}
}

// untilEnd reads a JPEG to its end.
func (w *web) untilEnd() error {
	for w.data = w.data[:0]; ; {
		piece, err := w.in.ReadSlice(jpegEOI)
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		w.data = append(w.data, piece...)
		switch {
		case len(w.data) > pictureLimit:
			return errEndless
		case endsWithEOI(w.data) && jpegEnds(w.data):
			w.trim()
			return nil
		}
	}
}

var errEndless = fmt.Errorf("a picture of the stream does not end within %d MiB: see whether the address is one of "+
	"MJPEG",
	pictureLimit>>20)

func endsWithEOI(data []byte) bool { return bytes.HasSuffix(data, []byte{0xFF, jpegEOI}) }

// header reads the lines before a picture and the empty one behind them; length is that of the picture,
// 0 where they do not tell. Servers write lines of no sense among them, and the mark more than once.
func (w *web) header() (length int, err error) {
	for read := 0; read < headerLimit; {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return 0, fmt.Errorf("a part of the stream has no header: %w", err)
		}
		read += len(line)
		text := bytes.TrimSpace(line)
		if len(text) == 0 {
			return length, nil
		}
		key, value, _ := bytes.Cut(text, []byte(":"))
		if n, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil &&
			bytes.EqualFold(bytes.TrimSpace(key), []byte("Content-Length")) {
			length = n
		}
	}
	return 0, errors.New("the header of a part does not end: see whether the address is one of MJPEG")
}

// partStart is what the header of a part begins with: some servers send the mark only once.
const partStart = "Content-"

// toMark reads up to the line that begins a part.
func (w *web) toMark() error {
	if w.atEnd {
		w.atEnd = false
		return nil
	}
	for read := 0; read < pictureLimit; {
		if start, _ := w.in.Peek(len(partStart)); bytes.EqualFold(start, []byte(partStart)) { // with no mark before it
			return nil
		}
		line, err := w.in.ReadSlice('\n')
		read += len(line)
		if err != nil && err != bufio.ErrBufferFull {
			return err
		}
		text := bytes.TrimRight(line, "\r\n")
		switch {
		case !w.marked && len(text) > 2 && bytes.HasPrefix(text, []byte("--")): // whatever was announced
			w.mark, w.marked = bytes.Clone(text), true
			return nil
		case w.isMark(text):
			if bytes.HasSuffix(text, append(bytes.Clone(w.mark), "--"...)) {
				return io.EOF
			}
			return nil
		}
	}
	return errors.New("what comes has no parts, as MJPEG has: see whether the address is one of pictures")
}

// isMark reports whether a line begins a part: some servers name a boundary with its dashes, and some without.
func (w *web) isMark(line []byte) bool {
	is := func(mark []byte) bool {
		return mark != nil && bytes.HasPrefix(bytes.TrimLeft(line, "-"), bytes.TrimLeft(mark, "-"))
	}
	return is(w.mark) || is(w.said)
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
			return errEndless
		}
		if text := bytes.TrimRight(w.data, "\r\n"); endsWithEOI(text) && jpegEnds(text) {
			w.data = text // the mark may come as late as the next picture
			return nil
		}
		start := bytes.LastIndexByte(w.data[:max(0, len(w.data)-1)], '\n') + 1
		if text := bytes.TrimRight(w.data[start:], "\r\n"); w.isMark(text) && bytes.HasPrefix(text, []byte("--")) {
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
	case errors.Is(err, os.ErrDeadlineExceeded) && w.client.timed.late():
		return fmt.Errorf("%w: bytes come, but no whole picture: see whether the address is one of pictures, or have "+
			"the camera make smaller ones", ErrStalled)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no picture for %.1f s: see whether the camera still runs; #timeout= gives it more time",
			ErrStalled, w.client.timed.limit.Seconds())
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the stream ended", ErrLost)
	case errors.Is(err, errEndless) || strings.Contains(err.Error(), ": "): // with what to try
		return fmt.Errorf("%w: %w", ErrLost, err)
	}
	return fmt.Errorf("%w: the server's answer is damaged (%w): restart the camera, or give its rtsp:// "+
		"address", ErrLost,
		err)
}

func (w *web) close() error {
	if w.body != nil {
		w.body.Close()
	}
	w.client.close()
	return nil
}
