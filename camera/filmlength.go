package camera

import (
	"bytes"
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
	path       string
	has        int64 // bytes of the file
	wants      int64 // bytes that it should have, at least
	frames     int   // of the video
	seconds    float64
	shared     bool    // seconds are those of the longest stream, which may be a sound
	least      float64 // seconds that the video has by its index, up to its last key frame
	joined     bool    // another film follows in the same file
	firstAlone bool    // which nothing here shows; else FFmpeg does
	noIndex    bool    // an MP4 without its index, which may stand at its end
	zeros      bool    // the end of the file is zeros, as where a copy was not finished
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

// joined says that only a part of a file is shown, with the cure.
const joined = "holds several films, one after the other, and only the first is shown: make them one, as by " +
	"ffmpeg -i FILE -c copy film.mkv"

// warning is short as a sentence of its own.
func (l *filmLength) warning() []string {
	if l.joined {
		return []string{l.path + " " + joined}
	}
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
	// lateShared is lateEnd where the length may be that of a sound.
	lateShared = 0.5
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
	if l.joined {
		return &cutOff{l.path + " " + joined}
	}
	late := lateEnd
	if l.shared {
		late = lateShared
	}
	switch short := l.short(); {
	case whole:
		return io.EOF
	case short != "":
		return &cutOff{fmt.Sprintf("%s %s, and ended after %s: copy it again", l.path, short, of)}
	case at > 0 && played+lateSeconds < max((1-late)*l.seconds, l.least):
		return &cutOff{fmt.Sprintf("%s ended early, after %.1f of the %.1f s that it says it has: it is damaged; "+
			"copy it again", l.path, played, max(l.seconds, l.least))}
	case l.zeros && (l.frames > 0 || l.seconds > 0 || l.wants > 0):
		return &cutOff{fmt.Sprintf("%s ended after %s, and the end of the file is zeros: it is incomplete; copy it "+
			"again", l.path, of)}
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
	l := filmLength{has: size, zeros: endsInZeros(file, size)}
	switch {
	case slices.Contains(boxStarts, string(head[4:8])):
		l.frames, l.seconds, l.shared = r.length()
		l.wants, l.noIndex = boxesWant(file, size)
	case string(head[:4]) == "\x1aE\xdf\xa3":
		l.matroska(file)
	case string(head[:4]) == "RIFF" && string(head[8:]) == "AVI ":
		l.riff(file, size)
		l.frames, l.seconds = aviLength(file)
	case string(head[:4]) == asfHeader[:4]:
		l.wants, l.seconds = asfLength(file)
		l.shared = true
	case string(head[:3]) == "FLV":
		l.wants, l.seconds = flvLength(file)
		l.shared = true
	}
	return l
}

// hollowEnd is how many zeros at the end of a file are no longer padding, bytes.
const hollowEnd = 4 << 10

func endsInZeros(file io.ReaderAt, size int64) bool {
	var end [hollowEnd]byte
	if size < 2*hollowEnd {
		return false
	}
	n, _ := file.ReadAt(end[:], size-hollowEnd)
	return n == hollowEnd && len(bytes.Trim(end[:], "\x00")) == 0
}

// boxesLimit is how many of the outermost boxes of a film are looked at: of one in fragments there are
// two or more a second.
const boxesLimit = 1 << 16

// boxesWant goes through the outermost boxes of an MP4: wants is where the last should end, or the last
// segment that an index names, 0 where that is no box with pictures; noIndex: the file is a film, and nothing
// says where its pictures are.
func boxesWant(file io.ReaderAt, size int64) (wants int64, noIndex bool) {
	var head [16]byte
	noIndex = true
	at, indexed := int64(0), int64(0)
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
		if kind == "sidx" && length >= 32 && length < sidxLimit {
			indexed = max(indexed, end+segments(file, at+8, length-8))
		}
		switch {
		case length == 0: // to the end, wherever that is
			return 0, noIndex
		case length < 8 || end < at:
			return 0, noIndex
		case end > size && slices.Contains([]string{"mdat", "moov", "moof"}, kind):
			return end, noIndex
		case end >= size && indexed > size:
			return indexed, noIndex
		case end >= size:
			return 0, noIndex
		}
		at = end
	}
	return 0, false
}

// sidxLimit is how large an index of segments is read, bytes: it has 12 for each.
const sidxLimit = 1 << 20

// segments is how many bytes the segments of an index have together, from its end on (ISO/IEC 14496-12,
// 8.16.3).
func segments(file io.ReaderAt, body, length int64) (total int64) {
	b := make([]byte, length)
	if n, _ := file.ReadAt(b, body); int64(n) < length {
		return 0
	}
	at := 20 // behind the earliest time and the first offset, of 4 bytes each
	total = int64(binary.BigEndian.Uint32(b[16:]))
	if b[0] == 1 && len(b) >= 32 { // of 8
		at, total = 28, int64(binary.BigEndian.Uint64(b[20:]))
	}
	if total < 0 || total > 1<<50 {
		return 0
	}
	for n := int(binary.BigEndian.Uint16(b[at+2:])); n > 0 && at+16 <= len(b); n-- {
		at += 4
		total += int64(binary.BigEndian.Uint32(b[at:]) & (1<<31 - 1))
		at += 8
	}
	return total
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

// fragmented is what mehd says of the length of a film in fragments, in the film's clock.
func (r *boxReader) fragmented(body int64) uint64 {
	if version := unsigned(r.file, body, 1); version == 1 {
		return unsigned(r.file, body+4, 8)
	}
	return unsigned(r.file, body+4, 4)
}

// length is how many frames and seconds the video has; shared: the seconds may be those of another
// track. Where an edit shows a part of it only, the number of its frames says nothing.
func (r *boxReader) length() (frames int, seconds float64, shared bool) {
	if r.video && r.samples == 0 {
		return 0, r.fragments, r.tracks > 1
	}
	if !r.video || r.media == 0 {
		return 0, 0, false
	}
	if frame := r.media / float64(r.samples); r.track > 0 && r.track+2*frame < r.media {
		return 0, r.track, false
	}
	return int(r.samples), r.media, false
}
