package live

import (
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	keptChannels    = 32                     // frames of a stream whose channels are kept
	betweenChannels = 200 * time.Millisecond // of the frames that are kept, at least
)

// channelFrame are the channels of one frame, block after block.
type channelFrame struct {
	at             time.Duration
	index          int32 // of the best class; -1: none
	squeeze, gates []float32
}

// channels are the newest of one stream. Their memory is there only where the network has attention
// blocks.
type channels struct {
	blocks []int // channels of each block
	usual  usual
	frames []channelFrame
	next   int
	n      int
}

// begin forgets all, and makes room for a network with such blocks.
func (c *channels) begin(blocks []int, known func() Usual) {
	*c = channels{blocks: blocks}
	total := 0
	for _, n := range blocks {
		total += n
	}
	if total == 0 {
		return
	}
	c.usual = newUsual(total, known)
	values := make([]float32, 2*keptChannels*total)
	c.frames = make([]channelFrame, keptChannels)
	for i := range c.frames {
		part := values[2*i*total:][: 2*total : 2*total]
		c.frames[i].squeeze, c.frames[i].gates = part[:0:total], part[total:total]
	}
}

// channelsOf begins anew for a network, or says why it has no channels.
func (s *stream) channelsOf(n *Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels.begin(n.Blocks, n.Usual)
	s.noChannels = n.NoBlocks
}

// add takes the channels of a frame in, where there are some and the last that was taken is old
// enough.
func (c *channels) add(d *vision.Decision, at time.Duration) {
	if len(c.frames) == 0 || d.Signals == nil || len(d.Signals.Gates) != len(c.blocks) {
		return
	}
	if before := (c.next + keptChannels - 1) % keptChannels; c.n > 0 && at-c.frames[before].at < betweenChannels {
		return
	}
	f := &c.frames[c.next]
	f.at, f.index, f.squeeze, f.gates = at, -1, f.squeeze[:0], f.gates[:0]
	if len(d.Top) > 0 {
		f.index = int32(d.Top[0].Index)
	}
	for b, n := range c.blocks {
		z, g := d.Signals.Squeeze[b], d.Signals.Gates[b]
		if len(z) != n || len(g) != n {
			return
		}
		f.squeeze, f.gates = append(f.squeeze, z...), append(f.gates, g...)
	}
	c.usual.add(f.gates)
	c.next, c.n = (c.next+1)%keptChannels, min(c.n+1, keptChannels)
}

// Channels are what the attention blocks of the network made of the newest frames of a stream,
// some five frames a second.
type Channels struct {
	Stream string `json:"camera"`
	Blocks []int  `json:"blocks"` // channels of each block, in the order of the network
	// Why says in one sentence why there are no blocks; empty where there are some.
	Why    string         `json:"why,omitempty"`
	Frames []ChannelFrame `json:"frames"` // oldest first
}

// ChannelFrame are the channels of one frame, of all blocks one behind the other.
type ChannelFrame struct {
	Time    int64     `json:"t"`       // ms
	Index   int32     `json:"i"`       // of the best class; -1: none
	Squeeze []float32 `json:"squeeze"` // mean of each channel
	Gates   []float32 `json:"gates"`   // what each channel is multiplied by, 0..1
}

// Channels are copies of the newest frames, at most so many, that came after an instant, ms.
func (m *Monitor) Channels(stream string, most int, after int64) (*Channels, error) {
	s, err := m.find(stream)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.channels
	out := &Channels{Stream: stream, Blocks: append([]int{}, c.blocks...), Frames: []ChannelFrame{}}
	if len(c.blocks) == 0 {
		out.Why = s.noChannels
	}
	for i := range c.n {
		f := &c.frames[(c.next+keptChannels-c.n+i)%keptChannels]
		at := m.wall(f.at).UnixMilli()
		if c.n-i > most || at <= after {
			continue
		}
		out.Frames = append(out.Frames, ChannelFrame{Time: at, Index: f.index,
			Squeeze: finite(f.squeeze), Gates: finite(f.gates)})
	}
	return out, nil
}

// finite is a copy in which what is no number is 0: JSON has none.
func finite(values []float32) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		if v-v == 0 {
			out[i] = v
		}
	}
	return out
}
