package spool

import (
	"encoding/binary"
	"hash/crc32"
)

// Class says how a record is kept.
type Class uint8

const (
	Async Class = iota // on disk when it was not acknowledged within AsyncAfter
	Sync               // on disk when it was not acknowledged within SyncAfter
	classes
)

func (c Class) String() string { return [...]string{"async", "sync"}[c] }

// Record is one message on its way.
type Record struct {
	Seq     uint64
	Class   Class
	QoS     byte
	Late    bool // accepted without a connection, or perhaps sent over an earlier one
	Topic   string
	Payload []byte
	Lost    Loss // what a record about lost records tells of: it is counted again should this one be lost
}

// Loss counts records that will never come: Count of the numbers From … To.
type Loss struct{ Count, From, To uint64 }

// Add takes another loss in.
func (l *Loss) Add(m Loss) {
	if m.Count == 0 {
		return
	}
	if l.Count == 0 || m.From < l.From {
		l.From = m.From
	}
	l.To = max(l.To, m.To)
	l.Count += m.Count
}

// Layout of a record in a segment, little-endian, at a multiple of align:
//
//	0  magic   uint32
//	4  length  uint32 of the body
//	8  seq     uint64
//	16 flags   uint8: bit 0 QoS, bit 1 the body begins with a Loss (3 × uint64)
//	17 topic   uint8: length of the topic
//	18 zero    uint16
//	20 crc     uint32, CRC-32C of the segment's number, the bytes 0 … 19, and the body
//	24 body:   Loss?, topic, payload
const (
	magic      = 0x31536756 // "VgS1"
	headerSize = 24
	align      = 8
	lossSize   = 24
	flagQoS    = 1
	flagLoss   = 2

	// MaxPayload bounds a record.
	MaxPayload = 64 << 10
	maxTopic   = 255
	maxBody    = lossSize + maxTopic + MaxPayload
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crcSeed begins the CRC of every record of segment n.
func crcSeed(n uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return crc32.Update(0, castagnoli, b[:])
}

// size is how many bytes r takes in a segment.
func (r *Record) size() int {
	body := len(r.Topic) + len(r.Payload)
	if r.Lost.Count > 0 {
		body += lossSize
	}
	return padded(headerSize + body)
}

// appendRecord adds r, laid out for the segment with the given seed, to b.
func appendRecord(b []byte, r *Record, seed uint32) []byte {
	start, size := len(b), r.size()
	flags := r.QoS & flagQoS
	if r.Lost.Count > 0 {
		flags |= flagLoss
	}
	b = append(b, make([]byte, headerSize)...)
	if r.Lost.Count > 0 {
		b = binary.LittleEndian.AppendUint64(b, r.Lost.Count)
		b = binary.LittleEndian.AppendUint64(b, r.Lost.From)
		b = binary.LittleEndian.AppendUint64(b, r.Lost.To)
	}
	b = append(b, r.Topic...)
	b = append(b, r.Payload...)
	h := b[start:]
	binary.LittleEndian.PutUint32(h, magic)
	binary.LittleEndian.PutUint32(h[4:], uint32(len(h)-headerSize))
	binary.LittleEndian.PutUint64(h[8:], r.Seq)
	h[16], h[17] = flags, byte(len(r.Topic))
	binary.LittleEndian.PutUint32(h[20:], checksum(h, seed))
	for len(b) < start+size {
		b = append(b, 0)
	}
	return b
}

// checksum is that of the whole record h, header and body.
func checksum(h []byte, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, h[:20]), castagnoli, h[headerSize:])
}

// decode reads the record at the start of b into r, whose Payload then points into b, and returns
// its size; 0 where there is none that holds.
func decode(b []byte, class Class, seed uint32, r *Record) int {
	if len(b) < headerSize || binary.LittleEndian.Uint32(b) != magic {
		return 0
	}
	length := binary.LittleEndian.Uint32(b[4:])
	if length > maxBody || int(length) > len(b)-headerSize {
		return 0
	}
	h := b[:headerSize+int(length)]
	if checksum(h, seed) != binary.LittleEndian.Uint32(h[20:]) {
		return 0
	}
	body := h[headerSize:]
	*r = Record{Seq: binary.LittleEndian.Uint64(h[8:]), Class: class, QoS: h[16] & flagQoS, Late: true}
	if h[16]&flagLoss != 0 && len(body) >= lossSize {
		r.Lost = Loss{binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:]),
			binary.LittleEndian.Uint64(body[16:])}
		body = body[lossSize:]
	}
	topic := int(h[17])
	if topic > len(body) {
		return 0
	}
	r.Topic, r.Payload = string(body[:topic]), body[topic:]
	return padded(headerSize + int(length))
}

func padded(n int) int { return (n + align - 1) &^ (align - 1) }
