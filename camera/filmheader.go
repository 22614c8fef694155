package camera

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
)

// boxLimit is how many boxes of a film are looked at, at most.
const boxLimit = 4096

// boxStarts are the boxes that a film may begin with; QuickTime's older ones have no ftyp.
var boxStarts = []string{"ftyp", "moov", "mdat", "wide", "free", "skip"}

// filmHeader is what the file of a film says of its pictures, and what decoders do not listen to.
type filmHeader struct {
	turn Flip // how a phone's film wants its picture turned
	full bool // its range is full
	// unedited: an MP4 whose video has no list of edits (ISO/IEC 14496-12, 8.6.5)
	unedited bool

	length filmLength
}

// headerOf reads the header of a film (MP4, MOV): from the matrix of its video track (ISO/IEC
// 14496-12, 8.3.2) how it is turned, for the decoders disagree: OpenCV 4.6 turns a quarter the wrong way,
// GStreamer not at all; and its range as Avid writes it, which GStreamer passes over. Any other file
// says nothing of that. Of most containers it reads how long the film should be: decoders take the end of
// the file for that of the film.
func headerOf(path string) filmHeader {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
	if err != nil {
		return filmHeader{}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return filmHeader{}
	}
	r := boxReader{file: file, left: boxLimit}
	r.walk(0, info.Size(), "")
	r.header.length = lengthOf(file, info.Size(), &r)
	r.header.length.path = path
	return r.header
}

// boxReader goes through the boxes of a film as far as the end of its index.
type boxReader struct {
	file      io.ReaderAt
	left      int     // boxes still to be looked at
	turn      Flip    // of the track under way, as are the following
	track     float64 // seconds that it is shown
	media     float64 // seconds that it has
	samples   uint32  // frames
	fragments float64 // seconds of the longest track where the frames are in fragments
	tracks    int
	perSecond uint32 // of the whole film's clock
	header    filmHeader
	video     bool // the track under way is the video
	edits     bool // it has a list of edits
	done      bool
}

// walk looks at the boxes between two places of the file; in is the box around them.
func (r *boxReader) walk(at, end int64, in string) {
	var head [16]byte
	for at+8 <= end && !r.done && r.left > 0 {
		r.left--
		if _, err := r.file.ReadAt(head[:8], at); err != nil {
			return
		}
		size, body := int64(binary.BigEndian.Uint32(head[:])), at+8
		switch kind := string(head[4:8]); {
		case size == 1: // a long one
			if _, err := r.file.ReadAt(head[:], at); err != nil {
				return
			}
			size, body = int64(binary.BigEndian.Uint64(head[8:])), at+16
		case size == 0: // to the end
			size = end - at
		case in == "" && at == 0 && !slices.Contains(boxStarts, kind):
			return // no film of this kind
		}
		if size < body-at || size > end-at {
			return
		}
		r.box(string(head[4:8]), in, body, at+size)
		at += size
	}
}

func (r *boxReader) box(kind, in string, body, end int64) {
	switch at := in + "/" + kind; {
	case at == "moov/trak":
		r.tracks++
		if r.video {
			return
		}
		r.edits = false
		r.walk(body, end, kind)
		r.header.unedited = r.video && !r.edits
	case at == "/moov":
		r.walk(body, end, kind)
		r.done = true
	case at == "mvex/mehd" && r.perSecond > 0:
		r.fragments = float64(r.fragmented(body)) / float64(r.perSecond)
	case at == "trak/edts":
		r.edits = true
	case slices.Contains(boxPath, at):
		r.walk(body, end, kind)
	case at == "trak/tkhd":
		r.turn, r.track = r.matrix(body, end), r.shown(body)
	case at == "moov/mvhd":
		r.perSecond, _ = r.times(body)
	case at == "mdia/mdhd":
		_, r.media = r.times(body)
	case at == "stbl/stsz" && r.video:
		r.samples = uint32(unsigned(r.file, body+8, 4))
	case at == "mdia/hdlr":
		var handler [4]byte
		if _, err := r.file.ReadAt(handler[:], body+8); err == nil && string(handler[:]) == "vide" {
			r.header.turn, r.video = r.turn, true
		}
	case at == "stbl/stsd" && r.video:
		r.walk(body+8, end, kind)
	case in == "stsd": // a kind of video; boxes follow its own fields
		r.walk(body+78, end, "entry")
	case at == "entry/ACLR":
		var colours [16]byte // of Avid's DNxHD
		if _, err := r.file.ReadAt(colours[:], body); err == nil && end-body == int64(len(colours)) {
			r.header.full = binary.BigEndian.Uint32(colours[8:]) == 2
		}
	}
}

// boxPath are the boxes around those that are looked at, each behind the one around it.
var boxPath = []string{"moov/mvex", "trak/mdia", "mdia/minf", "minf/stbl"}

// matrix is what the first four numbers of the transformation say: a and b are where the picture's
// right points to, c and d where its down does.
func (r *boxReader) matrix(body, end int64) Flip {
	var version [1]byte
	if _, err := r.file.ReadAt(version[:], body); err != nil {
		return FlipNone
	}
	at := body + 4 + 20 + 16
	if version[0] == 1 {
		at = body + 4 + 32 + 16
	}
	var m [20]byte
	if at+int64(len(m)) > end {
		return FlipNone
	}
	if _, err := r.file.ReadAt(m[:], at); err != nil {
		return FlipNone
	}
	number := func(i int) int32 { return int32(binary.BigEndian.Uint32(m[i:])) >> 16 }
	return map[[4]int32]Flip{
		{0, 1, -1, 0}: FlipClockwise, {-1, 0, 0, -1}: FlipRotate180, {0, -1, 1, 0}: FlipCounterclockwise,
		{-1, 0, 0, 1}: FlipHorizontal, {1, 0, 0, -1}: FlipVertical,
	}[[4]int32{number(0), number(4), number(12), number(16)}]
}

// quarters is how often a turn turns clockwise by a quarter; not ok where it mirrors.
func (f Flip) quarters() (n int, ok bool) {
	n, ok = map[Flip]int{FlipNone: 0, FlipClockwise: 1, FlipRotate180: 2, FlipCounterclockwise: 3}[f]
	return n, ok
}

// then is f and after it next, as one.
func (f Flip) then(next Flip) (Flip, error) {
	a, turned := f.quarters()
	b, turns := next.quarters()
	switch {
	case turned && turns:
		return []Flip{FlipNone, FlipClockwise, FlipRotate180, FlipCounterclockwise}[(a+b)%4], nil
	case f == FlipNone:
		return next, nil
	case next == FlipNone:
		return f, nil
	case f == next: // mirrored twice
		return FlipNone, nil
	case !turned && !turns:
		return FlipRotate180, nil // left and right, and top and bottom
	case a == 2 || b == 2: // a mirror and half a turn: the other mirror
		if f == FlipHorizontal || next == FlipHorizontal {
			return FlipVertical, nil
		}
		return FlipHorizontal, nil
	}
	return FlipNone, fmt.Errorf("the film itself says that it is turned (%s), and flip=%s with that is not supported: "+
		"turn or mirror the film", f, next)
}
