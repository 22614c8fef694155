package camera

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
)

// elementsLimit is how many elements, chunks or objects of a header are looked at.
const elementsLimit = 256

// The elements of Matroska (RFC 9559) that tell of lengths.
const (
	matroskaHead     = 0x1a45dfa3
	matroskaSegment  = 0x18538067
	matroskaInfo     = 0x1549a966
	matroskaCluster  = 0x1f43b675
	matroskaScale    = 0x2ad7b1
	matroskaDuration = 0x4489
	matroskaTracks   = 0x1654ae6b
	matroskaTrack    = 0xae
	matroskaKind     = 0x83 // of a track: 1 is a video
)

// matroskaLength is how many bytes a Matroska or WebM file should have, and how many seconds it says; 0:
// it does not say, as one that was written to a pipe. shared: it may hold more than videos, and the
// seconds are those of the longest.
func matroskaLength(file io.ReaderAt) (wants int64, seconds float64, shared bool) {
	at, kinds := int64(0), 0
	scale, ticks := 1e6, 0.0 // nanoseconds of a tick
	for range elementsLimit {
		id, size, body := ebmlElement(file, at)
		switch {
		case body == 0 || id == matroskaCluster:
			return wants, ticks * scale / 1e9, shared || kinds == 0
		case id == matroskaSegment:
			if size >= 0 {
				wants = body + size
			}
			at = body
			continue
		case (id == matroskaInfo || id == matroskaTracks || id == matroskaTrack) && size >= 0:
			at = body
			continue
		case size < 0 || body+size < at:
			return wants, 0, true
		case id == matroskaKind:
			kinds++
			shared = shared || unsigned(file, body, size) != 1
		case id == matroskaScale:
			scale = float64(unsigned(file, body, size))
		case id == matroskaDuration && size == 4:
			ticks = float64(math.Float32frombits(uint32(unsigned(file, body, size))))
		case id == matroskaDuration && size == 8:
			ticks = math.Float64frombits(unsigned(file, body, size))
		}
		at = body + size
	}
	return wants, ticks * scale / 1e9, true
}

// twoMatroskas reports whether a second Matroska film follows the first in the same file, which
// GStreamer ends at.
func twoMatroskas(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	if id, _, _ := ebmlElement(file, 0); id != matroskaHead {
		return false
	}
	end, _, _ := matroskaLength(file)
	id, _, _ := ebmlElement(file, end)
	return end > 0 && id == matroskaHead
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

// riffWants is how many bytes an AVI should have: long ones are several RIFF chunks. One whose recorder
// has crashed says 0.
func riffWants(file io.ReaderAt, size int64) int64 {
	var head [8]byte
	for at := int64(0); at+8 <= size; {
		if _, err := file.ReadAt(head[:], at); err != nil || string(head[:4]) != "RIFF" {
			return 0
		}
		length := int64(binary.LittleEndian.Uint32(head[4:]))
		if length < 4 || length == 1<<32-1 {
			return 0
		}
		if at += 8 + length; at > size {
			return at
		}
		at += length & 1
	}
	return 0
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
