package camera

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"slices"
)

// elementsLimit is how many elements, chunks or objects of a header are looked at.
const elementsLimit = 256

// The elements of Matroska (RFC 9559) that tell of lengths.
const (
	matroskaHead     = 0x1a45dfa3
	matroskaSegment  = 0x18538067
	matroskaSeekHead = 0x114d9b74
	matroskaSeek     = 0x4dbb
	matroskaSeekID   = 0x53ab
	matroskaSeekAt   = 0x53ac
	matroskaInfo     = 0x1549a966
	matroskaCluster  = 0x1f43b675
	matroskaScale    = 0x2ad7b1
	matroskaDuration = 0x4489
	matroskaTracks   = 0x1654ae6b
	matroskaTrack    = 0xae
	matroskaNumber   = 0xd7
	matroskaKind     = 0x83 // of a track: 1 is a video
	matroskaCues     = 0x1c53bb6b
	matroskaCue      = 0xbb
	matroskaCueTime  = 0xb3
	matroskaCuePlace = 0xb7
	matroskaCueTrack = 0xf7
)

// matroskaAround are the elements that are looked into.
var matroskaAround = []uint32{matroskaSegment, matroskaSeekHead, matroskaSeek, matroskaInfo, matroskaTracks,
	matroskaTrack, matroskaCue, matroskaCuePlace}

// matroskaReader goes through the header of a Matroska or WebM film.
type matroskaReader struct {
	body, end    int64 // of the segment; end 0: it does not say, as one that was written to a pipe
	cluster      int64 // the first; 0: none was seen
	scale        float64
	ticks        float64 // that it says it has; 0: it does not say
	seek         uint64  // the newest of what it says the places of
	cues         int64   // 0: it does not say
	track, video uint64  // the number of the newest track, and of the first video; 0: none
	others       bool    // it has tracks of another kind, or may have
	time         uint64  // of the newest cue, as are the others; both in ticks
	first, last  int64   // cues of the video; −1: none
}

// walk looks at the elements from at to end, and into them; no further than the first cluster.
func (m *matroskaReader) walk(file io.ReaderAt, at, end int64, limit int) (whole bool) {
	for range limit {
		if at >= end {
			return true
		}
		id, size, body := ebmlElement(file, at)
		if id == matroskaCluster {
			m.cluster = at
		}
		if body == 0 || id == matroskaCluster {
			return true
		}
		if id == matroskaSegment {
			m.body = body
			if size >= 0 {
				m.end = body + size
			}
		}
		switch {
		case slices.Contains(matroskaAround, id) && (size >= 0 || id == matroskaSegment):
			at = body
			continue
		case size < 0 || body+size < at:
			return false
		}
		m.element(file, id, body, size)
		at = body + size
	}
	return false
}

func (m *matroskaReader) element(file io.ReaderAt, id uint32, body, size int64) {
	value := unsigned(file, body, size)
	switch id {
	case matroskaSeekID:
		m.seek = value
	case matroskaSeekAt:
		if m.seek == matroskaCues && value < 1<<50 {
			m.cues = m.body + int64(value)
		}
	case matroskaScale:
		m.scale = float64(value)
	case matroskaDuration:
		if m.ticks = math.Float64frombits(value); size == 4 {
			m.ticks = float64(math.Float32frombits(uint32(value)))
		}
		if !(m.ticks >= 0 && m.ticks < 1<<50) {
			m.ticks = 0
		}
	case matroskaNumber:
		m.track = value
	case matroskaKind:
		if value != 1 {
			m.others = true
		} else if m.video == 0 {
			m.video = m.track
		}
	case matroskaCueTime:
		m.time = value
	case matroskaCueTrack:
		if value == m.video && value != 0 && m.time < 1<<50 {
			if m.first < 0 {
				m.first = int64(m.time)
			}
			m.last = max(m.last, int64(m.time))
		}
	}
}

// follows reports whether another film begins where this one ends, as by its size, or behind its clusters.
func (m *matroskaReader) follows(file io.ReaderAt) bool {
	if m.end > 0 {
		id, _, _ := ebmlElement(file, m.end)
		return id == matroskaHead
	}
	at := m.cluster
	for range boxesLimit {
		id, size, body := ebmlElement(file, at)
		switch {
		case at > 0 && id == matroskaHead:
			return true
		case at == 0 || body == 0 || size < 0 || body+size < at:
			return false
		}
		at = body + size
	}
	return false
}

// cuesLimit is how large an index of Matroska is read, bytes: it has some 20 for each key frame.
const cuesLimit = 4 << 20

// matroska takes what a Matroska or WebM film says of its length.
func (l *filmLength) matroska(file io.ReaderAt) {
	m := matroskaReader{scale: 1e6, first: -1}
	whole := m.walk(file, 0, math.MaxInt64, elementsLimit)
	l.wants = m.end
	l.seconds = m.ticks * m.scale / 1e9
	l.shared = !whole || m.others || m.video == 0
	l.joined = m.follows(file)
	id, size, body := ebmlElement(file, m.cues)
	if m.cues == 0 || id != matroskaCues || size <= 0 || size > cuesLimit {
		return
	}
	index := make([]byte, size)
	if n, _ := file.ReadAt(index, body); int64(n) < size {
		return
	}
	m.walk(bytes.NewReader(index), 0, size, int(size))
	l.least = float64(m.last-max(m.first, 0)) * m.scale / 1e9
}

// ebmlElement is the head of one: size is −1 where it is not known, body 0 where there is none.
func ebmlElement(file io.ReaderAt, at int64) (id uint32, size, body int64) {
	var b [12]byte
	n, _ := file.ReadAt(b[:], at)
	first := 1
	for ; first <= 4 && b[0]>>(8-first) == 0; first++ {
	}
	if first > 4 || n < first+1 {
		return 0, 0, 0
	}
	for _, c := range b[:first] {
		id = id<<8 | uint32(c)
	}
	rest := b[first:n]
	width := 1
	for ; width <= 8 && rest[0]>>(8-width) == 0; width++ {
	}
	if width > 8 || len(rest) < width {
		return 0, 0, 0
	}
	value := uint64(rest[0]) & (1<<(8-width) - 1)
	for _, c := range rest[1:width] {
		value = value<<8 | uint64(c)
	}
	if value == 1<<(7*width)-1 {
		return id, -1, at + int64(first+width)
	}
	return id, int64(value), at + int64(first+width)
}

// unsigned is an unsigned one of up to 8 bytes.
func unsigned(file io.ReaderAt, at, size int64) (v uint64) {
	var b [8]byte
	if size > 8 {
		return 0
	}
	if _, err := file.ReadAt(b[:size], at); err != nil {
		return 0
	}
	for _, c := range b[:size] {
		v = v<<8 | uint64(c)
	}
	return v
}

// riff takes how many bytes an AVI should have: long ones are several RIFF chunks. One whose recorder has
// crashed says 0.
func (l *filmLength) riff(file io.ReaderAt, size int64) {
	var head [12]byte
	for at := int64(0); at+12 <= size; {
		if _, err := file.ReadAt(head[:], at); err != nil || string(head[:4]) != "RIFF" {
			return
		}
		if at > 0 && string(head[8:]) == "AVI " { // the parts of a long one are AVIX
			l.joined, l.firstAlone = true, true
			return
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		if length < 4 || length == 1<<32-1 {
			return
		}
		if at += 8 + length; at > size {
			l.wants = at
			return
		}
		at += length & 1
	}
}

// aviLength is what the header of the video stream of an AVI says.
func aviLength(file io.ReaderAt) (frames int, seconds float64) {
	var head [12]byte
	at := int64(12)
	for range elementsLimit {
		if _, err := file.ReadAt(head[:], at); err != nil {
			return 0, 0
		}
		kind, inner := string(head[:4]), string(head[8:])
		size := int64(binary.LittleEndian.Uint32(head[4:]))
		switch {
		case kind == "LIST" && (inner == "hdrl" || inner == "strl"):
			at += 12
			continue
		case kind == "LIST" && inner == "movi":
			return 0, 0
		case kind == "strh" && inner == "vids":
			var b [36]byte
			if _, err := file.ReadAt(b[:], at+8); err != nil {
				return 0, 0
			}
			scale, rate, n := binary.LittleEndian.Uint32(b[20:]), binary.LittleEndian.Uint32(b[24:]),
				binary.LittleEndian.Uint32(b[32:])
			if scale == 0 || rate == 0 || n == 1<<32-1 {
				return 0, 0
			}
			return int(n), float64(n) * float64(scale) / float64(rate)
		}
		at += 8 + size + size&1
	}
	return 0, 0
}

// The objects of ASF (WMV) by their identifiers.
const (
	asfHeader     = "\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"
	asfProperties = "\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65"
)

// asfLength is what the file properties of a WMV say, unless it was sent while it was made.
func asfLength(file io.ReaderAt) (wants int64, seconds float64) {
	var b [24 + 68]byte
	at := int64(30)
	for range elementsLimit {
		if n, _ := file.ReadAt(b[:], at); n < 24 {
			return 0, 0
		}
		size := int64(binary.LittleEndian.Uint64(b[16:]))
		if string(b[:16]) == asfProperties {
			p := b[24:]
			if binary.LittleEndian.Uint32(p[64:])&1 != 0 {
				return 0, 0
			}
			seconds = float64(binary.LittleEndian.Uint64(p[40:]))/1e7 - float64(binary.LittleEndian.Uint64(p[56:]))/1e3
			return max(0, int64(binary.LittleEndian.Uint64(p[16:]))), max(0, seconds)
		}
		if size < 24 || at+size < at {
			return 0, 0
		}
		at += size
	}
	return 0, 0
}

// flvLength is what the first script of an FLV says, where it does.
func flvLength(file io.ReaderAt) (wants int64, seconds float64) {
	b := make([]byte, 4096)
	n, _ := file.ReadAt(b, 0)
	value := func(key string) float64 {
		_, after, ok := bytes.Cut(b[:n], []byte(key+"\x00")) // 0: a number follows
		if !ok || len(after) < 8 {
			return 0
		}
		v := math.Float64frombits(binary.BigEndian.Uint64(after))
		if !(v >= 0 && v < 1<<53) {
			return 0
		}
		return v
	}
	return int64(value("filesize")), value("duration")
}
