package live

import (
	"math"
	"time"
)

const (
	usualFrames = 3000        // so many frames back what is usual is remembered: ten minutes
	usualLeast  = 25          // frames before anything is unusual
	stripEvery  = time.Second // between two frames of Strips, at least
	mostStrips  = 30          // frames of Strips
	zLimit      = 4           // standard deviations that a byte reaches
	leastSpread = 1e-4        // of a gate: one that never moves is not unusual for moving so little
)

// usual is what the gates of a stream mostly are: by the pictures of the network's calibration, or,
// where those are not known, running means and variances, in which a frame weighs at least
// 1/usualFrames.
type usual struct {
	source         *source // is to be asked; nil: it was, or there is none
	pictures       int     // of the calibration; 0: frames tell
	frames         int
	mean, variance []float32
}

// source tells what is usual. It is another one for each network of each stream.
type source struct{ ask func() Usual }

func newUsual(channels int, known func() Usual) usual {
	u := usual{mean: make([]float32, channels), variance: make([]float32, channels)}
	if known != nil {
		u.source = &source{known}
	}
	return u
}

// settles takes in what the source has told. What is not of these channels says nothing.
func (u *usual) settles(told Usual) {
	u.source = nil
	if len(told.Middle) != len(u.mean) || len(told.Spread) != len(u.mean) || told.Pictures < 1 {
		return
	}
	u.pictures = told.Pictures
	copy(u.mean, told.Middle)
	for i, sd := range told.Spread {
		u.variance[i] = sd * sd
	}
}

// lookUp asks for what is usual where nobody has looked before. Meanwhile frames come in.
func (s *stream) lookUp() {
	s.mu.Lock()
	from := s.channels.usual.source
	s.mu.Unlock()
	if from == nil {
		return
	}
	told := from.ask()
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := &s.channels.usual; u.source == from { // the same network answers still
		u.settles(told)
	}
}

// known reports whether there is enough to say what is unusual.
func (u *usual) known() bool { return u.pictures > 0 || u.frames >= usualLeast }

// add takes in the gates of a frame.
func (u *usual) add(gates []float32) {
	if u.source != nil || u.pictures > 0 {
		return
	}
	u.frames = min(u.frames+1, usualFrames)
	weight := 1 / float32(u.frames)
	for i, g := range gates {
		if g-g != 0 { // no number
			continue
		}
		d := g - u.mean[i]
		u.mean[i] += weight * d
		u.variance[i] = (1 - weight) * (u.variance[i] + weight*d*d)
	}
}

// scores are the distances of gates from their means, in standard deviations, as bytes: 0 is
// −zLimit, 128 is none, 255 is +zLimit. unusual counts those beyond 3, by block.
func (u *usual) scores(gates []float32, blocks []int) (z []byte, unusual []int) {
	z, unusual = make([]byte, len(gates)), make([]int, len(blocks))
	block, end := 0, blocks[0]
	for i, g := range gates {
		for i >= end {
			block++
			end += blocks[block]
		}
		sd := math.Max(math.Sqrt(float64(u.variance[i])), leastSpread)
		score := float64(g-u.mean[i]) / sd
		if !u.known() || math.IsNaN(score) {
			score = 0
		}
		if math.Abs(score) > 3 {
			unusual[block]++
		}
		z[i] = byte(128 + math.Round(max(-1, min(1, score/zLimit))*127))
	}
	return z, unusual
}

// Strips show how unusual the gates of the newest frames of a stream are, at most one frame a second.
type Strips struct {
	Stream string `json:"camera"`
	Blocks []int  `json:"blocks"`        // channels of each attention block
	Why    string `json:"why,omitempty"` // there are no blocks, in one sentence
	// Pictures is how many pictures of the calibration say what is usual. 0: Seen frames do, at most
	// 3,000; before 25 nothing is unusual.
	Pictures int     `json:"pictures"`
	Seen     int     `json:"seen"`
	Frames   []Strip `json:"frames"` // oldest first
}

// Strip is one frame.
type Strip struct {
	Time  int64 `json:"t"` // ms
	Index int32 `json:"i"` // of the best class; -1: none
	// Z has a byte for each channel, of all blocks one behind the other: the distance of its gate from
	// its mean in standard deviations, 0 for −4, 128 for none, 255 for +4.
	Z       []byte `json:"z"`
	Unusual []int  `json:"unusual"` // by block: channels beyond 3 standard deviations
}

// Strips are those of a stream that came after an instant, ms.
func (m *Monitor) Strips(stream string, after int64) (*Strips, error) {
	s, err := m.find(stream)
	if err != nil {
		return nil, err
	}
	s.lookUp()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.channels
	out := &Strips{Stream: stream, Blocks: append([]int{}, c.blocks...), Pictures: c.usual.pictures,
		Seen: c.usual.frames, Frames: []Strip{}}
	if len(c.blocks) == 0 {
		out.Why = s.noChannels
	}
	var last time.Duration
	for i := range c.n {
		f := &c.frames[(c.next+keptChannels-c.n+i)%keptChannels]
		at := m.wall(f.at).UnixMilli()
		if at <= after || len(out.Frames) > 0 && f.at-last < stripEvery || len(out.Frames) == mostStrips {
			continue
		}
		last = f.at
		one := Strip{Time: at, Index: f.index}
		one.Z, one.Unusual = c.usual.scores(f.gates, c.blocks)
		out.Frames = append(out.Frames, one)
	}
	return out, nil
}
