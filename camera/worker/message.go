package worker

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/vggse/vggse-agent/camera"
)

// kind is the first byte of a message. Each message is one packet of the socket.
type kind byte

// From the parent.
const (
	kindLock     kind = 'l' // what to lock itself out of, see lockMessage; the first
	kindSettings kind = 's' // settings as JSON
	kindAgain    kind = 'g' // open the source once more, of which failure.Stays; a byte: settings.Ring
	kindRing     kind = 'm' // the size of a slot, uint64, with the descriptor of the memory
	kindFree     kind = 'f' // a slot may be written, see lending; only where the child waits for one
	kindEncode   kind = 'j' // with the descriptor of a socket on which pictures are to be encoded
)

// From the child.
const (
	kindOpened  kind = 'o' // opened as JSON
	kindNews    kind = 'i' // news as JSON, where they have changed
	kindNeed    kind = 'n' // width and height, uint32, of a frame that the ring is too small for
	kindFrame   kind = 'p' // frameHeader
	kindAlive   kind = 'a'
	kindFailed  kind = 'e' // failure as JSON; the last of an opening
	kindAnswer  kind = 'r' // the answer to settings.Ask, a text; the last
	messageSize      = 1 << 16
	textLimit        = 1 << 10 // of one text that a child says, bytes
	// chatter is how many messages may come without a frame among them: a child that talks all the
	// time is none of ours.
	chatter = 10_000
)

// settings are what a child is told first.
type settings struct {
	Camera camera.Config
	Ring   bool `json:",omitempty"` // the memory comes at once
	Ask    bool `json:",omitempty"` // camera.Ask instead of opening
	// Refresh is camera.RefreshGStreamer instead of opening.
	Refresh bool              `json:",omitempty"`
	Env     map[string]string `json:",omitempty"` // of its libraries
	// Unlocked is why nobody has asked for more than kindLock did.
	Unlocked string `json:",omitempty"`
}

// opened says what a child has opened.
type opened struct {
	Info    camera.Info
	Sandbox confined
}

// news are what may change while a source is read.
type news struct {
	Warnings []string
	Skipped  int
	Why      string
}

// frameHeader stands for a frame in a slot of the ring: BGR, rows without gaps.
type frameHeader struct {
	slot          int
	width, height int
	taken         time.Duration // by the monotonic clock of the machine
	age           time.Duration // camera.Stream.Age; below 0: not known
}

// frameHeaderSize is that of a header without its kind.
const frameHeaderSize = 1 + 4 + 4 + 8 + 8

func (h *frameHeader) append(b []byte) []byte {
	b = append(b, byte(kindFrame), byte(h.slot))
	b = appendSize(b, h.width, h.height)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.taken))
	return binary.LittleEndian.AppendUint64(b, uint64(h.age))
}

// parse reads a header without its kind; sizes are bounded by maxPixels and thus by the memory of a ring.
func (h *frameHeader) parse(b []byte) error {
	if len(b) != frameHeaderSize {
		return fmt.Errorf("a header of %d bytes", len(b))
	}
	h.slot = int(b[0])
	var err error
	if h.width, h.height, err = parseSize(b[1:9]); err != nil {
		return err
	}
	h.taken = time.Duration(binary.LittleEndian.Uint64(b[9:]))
	h.age = time.Duration(binary.LittleEndian.Uint64(b[17:]))
	return nil
}

// maxPixels is the largest frame that comes over: 64 million pixels, nearly twice 8K.
const maxPixels = 1 << 26

func appendSize(b []byte, width, height int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(width))
	return binary.LittleEndian.AppendUint32(b, uint32(height))
}

func parseSize(b []byte) (width, height int, err error) {
	if len(b) != 8 {
		return 0, 0, fmt.Errorf("a size of %d bytes", len(b))
	}
	w, h := uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[4:]))
	if w == 0 || h == 0 || w > maxPixels || h > maxPixels || w*h > maxPixels {
		return 0, 0, fmt.Errorf("a frame of %d×%d pixels", w, h)
	}
	return int(w), int(h), nil
}

// failure is an error on its way through the socket.
type failure struct {
	Kind  string
	Text  string
	Stays bool `json:",omitempty"` // the child waits to open its source once more
}

// kinds are the errors that callers tell apart, the more special first.
var kinds = []struct {
	name string
	err  error
}{
	{"stalled", camera.ErrStalled}, {"lost", camera.ErrLost}, {"no opencv", camera.ErrNoOpenCV},
	{"cut off", camera.ErrCutOff}, {"end", io.EOF},
}

func failureOf(err error) failure {
	f := failure{Text: err.Error()}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			f.Kind = k.name
			break
		}
	}
	return f
}

// error is the error again: the same sentence, and what callers tell apart. The end of a film is
// io.EOF itself.
func (f *failure) error() error {
	for _, k := range kinds {
		switch {
		case k.name != f.Kind:
		case k.err == io.EOF:
			return io.EOF
		default:
			return &childError{f.Text, k.err}
		}
	}
	return &childError{text: f.Text}
}

// childError is an error of a child: its sentence, and what it is.
type childError struct {
	text string
	is   error
}

func (e *childError) Error() string { return e.text }
func (e *childError) Unwrap() error { return e.is }

// message is kind k with v as JSON.
func message(k kind, v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(text) >= messageSize {
		return nil, fmt.Errorf("a message of %d bytes", len(text))
	}
	return append([]byte{byte(k)}, text...), nil
}

// secrets are what no text of a child may show: it knows the password of its camera.
type secrets []string

// clean makes a foreign text fit for a journal and a terminal.
func (s secrets) clean(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), textLimit)], "?")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	for _, word := range s {
		text = strings.ReplaceAll(text, word, "***")
	}
	return camera.Redact(text)
}

func (s secrets) cleanAll(texts []string) []string {
	texts = texts[:min(len(texts), 16)]
	for i := range texts {
		texts[i] = s.clean(texts[i])
	}
	return texts
}

// secretsOf are those of a source, as they are and as they are written in it.
func secretsOf(source string) (s secrets) {
	u, err := camera.ParseURI(source)
	if err != nil || len(u.Password) < 3 { // of fewer letters it would hide half of every sentence
		return nil
	}
	return secrets{u.Password}
}
