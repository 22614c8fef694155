package camera

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"
)

// ErrCutOff is the end of a film that comes before the one that its file tells of: an io.EOF, too.
var ErrCutOff = fmt.Errorf("the film is cut off: %w", io.EOF)

// cutOff is an ErrCutOff in words of its own.
type cutOff struct{ text string }

func (e *cutOff) Error() string { return e.text }
func (e *cutOff) Unwrap() error { return ErrCutOff }

// filmLength is what the file of a film says of its own length; zero where it says nothing.
type filmLength struct {
	path    string
	has     int64 // bytes of the file
	wants   int64 // bytes that it should have, at least
	frames  int   // of the video
	seconds float64
	noIndex bool // an MP4 without its index, which may stand at its end
}

// short says that bytes are missing; "" where none is known to.
func (l *filmLength) short() string {
	switch {
	case l.wants > l.has:
		return fmt.Sprintf("is cut off: it holds %d of the %d bytes that it should have", l.has, l.wants)
	case l.noIndex:
		return "is incomplete: its index (moov), which many programs write last, is missing"
	}
	return ""
}

// warning is short as a sentence of its own.
func (l *filmLength) warning() []string {
	if why := l.short(); why != "" {
		return []string{l.path + " " + why + ": copy it again"}
	}
	return nil
}

// lateEnd is how much of a film's length may be missing where all of its bytes are there: films of
// variable speed and those with a longer sound are not exact. lateSeconds come on top.
const (
	lateEnd     = 0.1
	lateSeconds = 1
)

// ended is what to make of the end of a round after so many frames, the newest of which began at the
// time at in the film (0: not known); why is what the decoder says: io.EOF, or an ErrCutOff.
func (l *filmLength) ended(frames int, at time.Duration, fps float64, why string) error {
	played := at.Seconds() + 1/fps
	if at == 0 {
		played = float64(frames) / fps
	}
	whole := l.frames > 0 && frames >= l.frames || l.seconds > 0 && played+1/fps >= l.seconds
	of := fmt.Sprintf("%d frames", frames)
	switch {
	case l.frames > 0:
		of = fmt.Sprintf("%d of %d frames", frames, l.frames)
	case l.seconds > 0:
		of = fmt.Sprintf("%.1f of %.1f s", played, l.seconds)
	}
	switch short := l.short(); {
	case whole:
		return io.EOF
	case short != "":
		return &cutOff{fmt.Sprintf("%s %s, and ended after %s: copy it again", l.path, short, of)}
	case at > 0 && l.seconds > 0 && played+lateSeconds < (1-lateEnd)*l.seconds:
		return &cutOff{fmt.Sprintf("%s ended early, after %.1f of the %.1f s that it says it has: it is damaged; "+
			"copy it again", l.path, played, l.seconds)}
	case why != "":
		return &cutOff{fmt.Sprintf("%s ended after %s because it is damaged (%s): copy it again", l.path, of, why)}
	}
	return io.EOF
}

// lengthOf is what the file of a film says of its length; r has walked through the boxes of an MP4.
func lengthOf(file io.ReaderAt, size int64, r *boxReader) filmLength {
	var head [12]byte
	if _, err := file.ReadAt(head[:], 0); err != nil {
		return filmLength{has: size}
	}
	l := filmLength{has: size}
	switch {
	case slices.Contains(boxStarts, string(head[4:8])):
		l.frames, l.seconds = r.length()
		l.wants, l.noIndex = boxesWant(file, size)
	case string(head[:4]) == "\x1aE\xdf\xa3":
		l.wants, l.seconds = matroskaLength(file)
	case string(head[:4]) == "RIFF" && string(head[8:]) == "AVI ":
		l.wants = riffWants(file, size)
		l.frames, l.seconds = aviLength(file)
	case string(head[:4]) == asfHeader[:4]:
		l.wants, l.seconds = asfLength(file)
	case string(head[:3]) == "FLV":
		l.wants, l.seconds = flvLength(file)
	}
	return l
}

// boxesLimit is how many of the outermost boxes of a film are looked at: of one in fragments there are
// two or more a second.
const boxesLimit = 1 << 16

// boxesWant goes through the outermost boxes of an MP4: wants is where the last should end, 0 where that
// is no box with pictures; noIndex: the file is a film, and nothing says where its pictures are.
func boxesWant(file io.ReaderAt, size int64) (wants int64, noIndex bool) {
	var head [16]byte
	noIndex = true
	at := int64(0)
	for range boxesLimit {
		n, _ := file.ReadAt(head[:], at)
		if n < 8 {
			return 0, noIndex
		}
		length, kind := int64(binary.BigEndian.Uint32(head[:])), string(head[4:8])
		if length == 1 && n == len(head) {
			length = int64(binary.BigEndian.Uint64(head[8:]))
		}
		if kind == "moov" || kind == "moof" {
			noIndex = false
		}
		end := at + length
		switch {
		case length == 0: // to the end, wherever that is
			return 0, noIndex
		case length < 8 || end < at:
			return 0, noIndex
		case end > size && slices.Contains([]string{"mdat", "moov", "moof"}, kind):
			return end, noIndex
		case end >= size:
			return 0, noIndex
		}
		at = end
	}
	return 0, false
}

// times are what a header of ISO/IEC 14496-12 (mvhd, mdhd) says of a length, seconds.
func (r *boxReader) times(body int64) (perSecond uint32, seconds float64) {
	var b [32]byte
	if _, err := r.file.ReadAt(b[:], body); err != nil {
		return 0, 0
	}
	duration := uint64(binary.BigEndian.Uint32(b[16:]))
	perSecond = binary.BigEndian.Uint32(b[12:])
	if b[0] == 1 {
		perSecond, duration = binary.BigEndian.Uint32(b[20:]), binary.BigEndian.Uint64(b[24:])
	}
	if perSecond == 0 || duration>>32 == 1<<32-1 || b[0] == 0 && duration == 1<<32-1 {
		return perSecond, 0
	}
	return perSecond, float64(duration) / float64(perSecond)
}

// shown is how long tkhd says that a track is shown, after its edits, seconds.
func (r *boxReader) shown(body int64) float64 {
	var b [36]byte
	if _, err := r.file.ReadAt(b[:], body); err != nil || r.perSecond == 0 {
		return 0
	}
	duration := uint64(binary.BigEndian.Uint32(b[20:]))
	if b[0] == 1 {
		duration = binary.BigEndian.Uint64(b[28:])
	}
	return float64(duration) / float64(r.perSecond)
}

// length is how many frames and seconds the video has. Where an edit shows a part of it only, the number
// of its frames says nothing.
func (r *boxReader) length() (frames int, seconds float64) {
	if !r.video || r.samples == 0 || r.media == 0 {
		return 0, 0
	}
	if frame := r.media / float64(r.samples); r.track > 0 && r.track+2*frame < r.media {
		return 0, r.track
	}
	return int(r.samples), r.media
}
