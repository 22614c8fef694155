package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

const (
	pictureEvery = 200 * time.Millisecond // between two pictures of one stream, at least
	pictureFresh = 100 * time.Millisecond // a picture that is older is made anew for whoever begins to look
)

// Picture is one frame, encoded. It is shared by all who look: nobody may change it.
type Picture struct {
	Bytes         []byte // JPEG; PNG where it is what the network sees
	Type          string // of Bytes, as HTTP names it
	Width, Height int    // of the frame, or of the network's input
	Frame         uint64 // Frame.Seq
	Time          time.Time
	Number        uint64     // of the pictures of its stream, from 1
	Seen          [4]float64 // the part of the frame that the network saw: left, top, right, bottom, 0..1
}

// ErrNoPicture is the end of waiting for a camera that gives no frame.
var ErrNoPicture = errors.New("the camera has given no frame")

// shots are the pictures of one stream, as a frame and as the network sees it.
type shots struct {
	wanted  atomic.Bool // any of them is
	encoded atomic.Uint64
	views   [2]shot // the frame, and what the network sees

	specMu sync.Mutex // guards what follows
	prep   vision.Preprocess
	size   int
}

// shot is one view's way from the inference to a picture. mu is held while a picture is encoded; the
// inference never waits for it.
type shot struct {
	wanted atomic.Bool
	taken  atomic.Int64 // when the last frame was, in nanoseconds of Unix

	mu      sync.Mutex
	frame   vision.Frame // thinned out, where it is not for the network's view
	width   int          // of the frame as it came, pixels
	height  int
	full    bool // frame is not encoded yet
	picture *Picture
	fresh   chan struct{} // closed when there is another frame
	last    uint64        // number of the last picture
}

func newShots() shots {
	return shots{views: [2]shot{{fresh: make(chan struct{})}, {fresh: make(chan struct{})}}}
}

func (s *shots) shows(p vision.Preprocess, size int) {
	s.specMu.Lock()
	defer s.specMu.Unlock()
	s.prep, s.size = p, size
}

// Record takes a copy of a frame where somebody waits for one; else it is one atomic load.
func (m *Monitor) Record(d *vision.Decision, f *vision.Frame) {
	if s := m.streams[d.Camera]; s != nil && s.wanted.Load() {
		s.record(f, m.encoder.Needs(f))
	}
}

func (s *shots) record(f *vision.Frame, needs int) {
	still := false
	for i := range s.views {
		v := &s.views[i]
		step := 1
		if i == 0 && needs > 0 && f.Height >= f.Width/needs {
			step = max(1, f.Width/needs)
		}
		if v.wanted.Load() && !v.take(f, step) {
			still = true
		}
	}
	if still {
		return
	}
	s.wanted.Store(false)
	for i := range s.views { // one that was wanted meanwhile
		if s.views[i].wanted.Load() {
			s.wanted.Store(true)
		}
	}
}

// take copies the frame, unless it comes too soon or the last one is being encoded.
func (v *shot) take(f *vision.Frame, step int) bool {
	now := time.Now()
	if now.UnixNano()-v.taken.Load() < int64(pictureEvery) || !v.mu.TryLock() {
		return false
	}
	defer v.mu.Unlock()
	thin(f, &v.frame, step)
	v.frame.Camera, v.frame.Seq, v.frame.Time = f.Camera, f.Seq, f.Time
	v.width, v.height = f.Width, f.Height
	v.full = true
	v.taken.Store(now.UnixNano())
	v.wanted.Store(false)
	close(v.fresh)
	v.fresh = make(chan struct{})
	return true
}

// Encoded is how many pictures were encoded so far: none while nobody looks.
func (m *Monitor) Encoded() (n uint64) {
	for _, s := range m.streams {
		n += s.encoded.Load()
	}
	return n
}

// Picture waits for a picture of the stream that is newer than the one with the number after; 0: any
// that is fresh. However many wait, each frame is encoded once. asNetwork: the tensor turned back
// into a picture. Where ctx ends first, the error is ErrNoPicture.
func (m *Monitor) Picture(ctx context.Context, stream string, asNetwork bool, after uint64) (*Picture, error) {
	s, err := m.find(stream)
	if err != nil {
		return nil, err
	}
	v := &s.views[0]
	if asNetwork {
		v = &s.views[1]
	}
	if after == 0 {
		after = v.begin()
	}
	for {
		p, fresh, err := s.develop(v, m.encoder, asNetwork, after)
		if err != nil {
			return nil, fmt.Errorf("live: %w", err)
		}
		if p != nil {
			return p, nil
		}
		select {
		case <-fresh:
		case <-ctx.Done():
			return nil, ErrNoPicture
		}
	}
}

// begin is the number of the picture that whoever begins to look has to wait for the one behind. What was
// taken for somebody who has gone since is forgotten.
func (v *shot) begin() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full && time.Since(time.Unix(0, v.taken.Load())) > pictureFresh {
		v.full = false
	}
	if v.picture != nil && time.Since(v.picture.Time) < pictureFresh {
		return v.last - 1
	}
	return v.last
}

// develop encodes what was taken, and returns the picture where it is newer than after; else what to
// wait for.
func (s *shots) develop(v *shot, e Encoder, asNetwork bool, after uint64) (*Picture, <-chan struct{}, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.full {
		v.full = false
		s.encoded.Add(1)
		p, err := s.encode(v, e, asNetwork)
		if err != nil {
			return nil, nil, err
		}
		v.last++
		p.Number, v.picture = v.last, p
	}
	if p := v.picture; p != nil && p.Number > after {
		return p, nil, nil
	}
	v.wanted.Store(true)
	s.wanted.Store(true)
	return nil, v.fresh, nil
}

func (s *shots) encode(v *shot, e Encoder, asNetwork bool) (*Picture, error) {
	f := &v.frame
	s.specMu.Lock()
	prep, size := s.prep, s.size
	s.specMu.Unlock()
	p := &Picture{Type: "image/jpeg", Width: v.width, Height: v.height, Frame: f.Seq, Time: f.Time}
	var err error
	if asNetwork {
		p.Type, p.Width, p.Height, p.Seen = "image/png", size, size, [4]float64{0, 0, 1, 1}
		p.Bytes, err = encodeTensor(f, prep, size)
		return p, err
	}
	p.Seen[0], p.Seen[1], p.Seen[2], p.Seen[3] = prep.Seen(v.width, v.height, size)
	p.Bytes, err = e.Encode(f)
	return p, err
}

// encodeTensor is the PNG of what the network sees of a frame.
func encodeTensor(f *vision.Frame, prep vision.Preprocess, size int) ([]byte, error) {
	p, err := vision.NewPreprocessor(prep, size)
	if err != nil {
		return nil, err
	}
	t := vision.NewTensor(1, 3, size, size)
	if err := p.Apply(f, t, 0); err != nil {
		return nil, err
	}
	var shown vision.Frame
	p.Show(t, 0, &shown)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, shown.Image()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
