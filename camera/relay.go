package camera

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is that of the pipe to a decoder, the most that Linux gives without asking; less where
	// it gives less.
	pipeSize = 1 << 20
	// behind is how long a packet may wait in the pipe: a decoder that is later cannot keep up, and
	// gets no more until the next picture that stands for itself.
	behind = time.Second
)

// relay is a pipe to a decoder in this process.
type relay struct {
	in, out *os.File // where packets are written, and where the decoder reads
	payload byte     // the type of the packets of the video (RFC 3550, section 5.1)
	other   byte     // what comes in their place; anyPayload: nothing yet
	seen    bool     // one of the right type has come
	codec   string

	started atomic.Bool  // something was written
	old     atomic.Int64 // how much later than the freshest the newest packet came, nanoseconds
	clock   clock
	size    int       // of the pipe, bytes
	written int64     // so far, bytes
	marks   []mark    // of what is in the pipe, the oldest first
	waits   bool      // for a picture that stands for itself
	since   time.Time // it waits
}

// anyPayload is for packets whose types nobody has told.
const anyPayload = 0xff

// clock compares the stream's time with ours.
type clock struct {
	rate  int           // ticks a second
	ticks uint32        // of the newest packet
	at    time.Time     // when that came
	lead  time.Duration // how far the stream is behind us, since the first packet
	least time.Duration // for the freshest packet so far
}

// age is how much later than the freshest so far a packet of this time has come.
func (c *clock) age(ticks uint32, now time.Time) time.Duration {
	if !c.at.IsZero() {
		elapsed := now.Sub(c.at)
		step := time.Duration(int32(ticks-c.ticks)) * time.Second / time.Duration(c.rate)
		c.lead += elapsed - step
		c.least = min(c.lead, c.least+time.Duration(drift*float64(elapsed)))
		if (step - elapsed).Abs() > leap { // the stream's clock was set
			c.least = c.lead
		}
	}
	c.ticks, c.at = ticks, now
	return c.lead - c.least
}

// mark says when the pipe had been written so far.
type mark struct {
	written int64
	at      time.Time
}

func newRelay(t *track) (*relay, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("a pipe to the decoder: %w", err)
	}
	r := &relay{
		in: in, out: out, payload: t.payload, other: anyPayload, codec: t.codec, size: 1 << 16,
		waits: true, clock: clock{rate: t.clock},
	}
	if n, err := unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, pipeSize); err == nil {
		r.size = n
	}
	return r, nil
}

// pass writes a packet, behind its length of two bytes, where the decoder keeps up.
func (r *relay) pass(packet []byte, now time.Time) error {
	if len(packet) < 2+12 || !r.ours(packet[3]&0x7f) {
		return nil
	}
	r.old.Store(int64(r.clock.age(binary.BigEndian.Uint32(packet[6:]), now)))
	waiting, err := unix.IoctlGetInt(int(r.out.Fd()), unix.TIOCINQ)
	if err != nil {
		return err
	}
	for len(r.marks) > 0 && r.marks[0].written <= r.written-int64(waiting) {
		r.marks = append(r.marks[:0], r.marks[1:]...)
	}
	late := len(r.marks) > 0 && now.Sub(r.marks[0].at) > behind
	switch {
	case late || waiting+len(packet)+4096 > r.size:
		r.waits, r.since = true, now
		return nil
	case r.since.IsZero():
		r.since = now
	}
	switch {
	case r.waits && !startsPicture(r.codec, packet[2:]) && now.Sub(r.since) < longestGroup:
		return nil
	}
	r.waits = false
	r.started.Store(true)
	if _, err := r.in.Write(packet); err != nil {
		return err
	}
	r.written += int64(len(packet))
	if len(r.marks) == 0 || now.Sub(r.marks[len(r.marks)-1].at) > behind/64 {
		r.marks = append(r.marks, mark{r.written, now})
	}
	return nil
}

// ours reports whether packets of a type are the video's. Some servers announce one type and send another: the first
// that comes is taken in its place until one comes that was announced. Reports of RTCP, which share the byte, are none
// (RFC 5761, section 4).
func (r *relay) ours(kind byte) bool {
	switch {
	case r.payload == anyPayload:
		return true
	case kind == r.payload:
		r.seen = true
	case r.seen || kind >= 64 && kind < 96:
		return false
	case r.other == anyPayload:
		r.other = kind
	}
	return r.seen && kind == r.payload || !r.seen && kind == r.other
}

// longestGroup is how long a picture that stands for itself is waited for.
const longestGroup = 10 * time.Second

// startsPicture reports whether an RTP packet begins what a decoder needs no earlier picture for.
func startsPicture(codec string, packet []byte) bool {
	at := 12 + 4*int(packet[0]&0xf)
	if packet[0]&0x10 != 0 && at+4 <= len(packet) { // a header extension
		at += 4 + 4*int(binary.BigEndian.Uint16(packet[at+2:]))
	}
	if at+4 > len(packet) {
		return false
	}
	p := packet[at:]
	switch codec {
	case "h264": // RFC 6184: a parameter set or IDR picture, alone, in STAP-A or as FU-A
		kind := p[0] & 0x1f
		switch kind {
		case 24:
			kind = p[3] & 0x1f
		case 28:
			kind = p[1] & 0x1f
			if p[1]&0x80 == 0 {
				return false
			}
		}
		return kind == 7 || kind == 5
	case "h265": // RFC 7798: a parameter set or IRAP picture, alone, in an AP or as FU
		kind := p[0] >> 1 & 0x3f
		switch kind {
		case 48:
			kind = 32 // of those who send any together the first is one of them
		case 49:
			kind = p[2] & 0x3f
			if p[2]&0x80 == 0 {
				return false
			}
		}
		return kind >= 16 && kind <= 21 || kind == 32 || kind == 33
	case "jpeg": // RFC 2435: the first fragment
		return p[1] == 0 && p[2] == 0 && p[3] == 0
	case "vp8":
		return startsVP8(p)
	case "vp9": // RFC 9628, section 4.2: B without P
		return p[0]&0x48 == 0x08
	case "mp4v-es": // ISO/IEC 14496-2, 6.2: a header of the sequence, or a picture that is coded as I
		start, kind := bytes.HasPrefix(p, []byte{0, 0, 1}), p[3]
		return start && (kind != 0xb6 || len(p) > 4 && p[4]&0xc0 == 0)
	}
	return true
}

// startsVP8 is startsPicture for what stands in a packet of VP8 (RFC 7741, section 4.2).
func startsVP8(p []byte) bool {
	const extended, start, index, key = 0x80, 0x10, 0x0f, 0x01
	if p[0]&(start|index) != start {
		return false
	}
	at := 1
	if p[0]&extended != 0 {
		fields := p[1]
		at++
		if fields&0x80 != 0 { // a picture number of one byte or two
			at += 1 + int(p[at]>>7)
		}
		if fields&0x40 != 0 {
			at++
		}
		if fields&0x30 != 0 {
			at++
		}
	}
	return at < len(p) && p[at]&key == 0
}

// restart is for packets of another server, whose numbers and times are others.
func (r *relay) restart(payload byte) {
	r.payload, r.waits, r.since = payload, true, time.Time{}
	r.other, r.seen = anyPayload, false
	r.clock = clock{rate: r.clock.rate}
}

// finish tells the decoder that no more comes.
func (r *relay) finish() { r.in.Close() }

// close gives back the pipe, once nothing reads from it.
func (r *relay) close() {
	r.in.Close()
	r.out.Close()
}
