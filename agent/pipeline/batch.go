package pipeline

import (
	"context"
	"errors"
	"math"
	"runtime"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// batch is what one run of the network takes: the newest slots of some streams, at most one of
// each.
type batch struct {
	most    int
	streams []*stream
	slots   []*slot
	turn    int           // the stream that is asked first
	view    vision.Tensor // the part of binding.input that is in use
	timer   *time.Timer
}

// mostPictures is how many pictures one run of the network may take.
func (p *Pipeline) mostPictures() int { return max(1, min(p.MaxBatch, len(p.streams))) }

// infer classifies the newest slots of the streams in turn until ctx ends, or until every camera
// has ended and nothing waits any more. It keeps its thread: handed from one to the next it lost a
// tenth of the network's rate (bench ring, demo network, two cores).
func (p *Pipeline) infer(ctx context.Context, ended <-chan struct{}) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := &batch{most: p.mostPictures(), timer: time.NewTimer(time.Hour)}
	defer b.timer.Stop()
	v := p.binding.Load()
	var began time.Time // the last run
	for {
		p.limit.wait(ctx, began)
		select {
		case c := <-p.changes:
			v = p.exchange(c)
		default:
		}
		p.collect(b)
		if len(b.slots) == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case c := <-p.changes:
				v = p.exchange(c)
				continue
			case <-p.ready:
				continue
			case <-ended:
			}
			if p.collect(b); len(b.slots) == 0 {
				return ctx.Err()
			}
		}
		p.await(ctx, b)
		// it counts pictures
		began = time.Now().Add(time.Duration(len(b.slots)-1) * time.Duration(p.limit.every.Load()))
		err := p.classify(ctx, v, b)
		for errors.Is(err, ErrSwapped) {
			select {
			case <-ctx.Done():
				err = ctx.Err()
			case c := <-p.changes:
				v = p.exchange(c)
				err = p.classify(ctx, v, b)
			}
		}
		b.giveBack()
		if err != nil {
			return err
		}
	}
}

// collect takes the newest slot of each stream that has one, while there is room, starting behind
// the stream that was served last: a fast camera cannot starve a slow one.
func (p *Pipeline) collect(b *batch) {
	for i, n := b.turn, 0; n < len(p.streams) && len(b.slots) < b.most; i, n = i+1, n+1 {
		l := p.streams[i%len(p.streams)]
		if l.taken {
			continue
		}
		if s := l.box.take(); s != nil {
			l.taken = true
			b.streams, b.slots = append(b.streams, l), append(b.slots, s)
			b.turn = (i + 1) % len(p.streams)
		}
	}
}

// await gives the other streams until MaxWait after the first slot was ready to fill the batch.
func (p *Pipeline) await(ctx context.Context, b *batch) {
	for len(b.slots) < b.most {
		wait := p.MaxWait - time.Since(b.slots[0].ready)
		if wait <= 0 {
			return
		}
		b.timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-b.timer.C:
			return
		case <-p.ready:
			p.collect(b)
		}
	}
}

func (b *batch) giveBack() {
	for i, l := range b.streams {
		l.taken = false
		l.box.giveBack(b.slots[i])
	}
	b.streams, b.slots = b.streams[:0], b.slots[:0]
}

// input is the tensor of all pictures, as the network of v sees them. A single one is where it was
// preprocessed.
func (b *batch) input(v *binding) (*vision.Tensor, error) {
	for i, s := range b.slots {
		if s.binding == v {
			continue
		}
		if err := v.prepare(v.streams[b.streams[i].index].late, s); err != nil {
			return nil, err
		}
	}
	if len(b.slots) == 1 {
		return b.slots[0].tensor, nil
	}
	each := len(v.input.Data) / b.most
	for i, s := range b.slots {
		copy(v.input.Data[i*each:], s.tensor.Data)
	}
	b.view.Shape, b.view.Data = v.input.Shape, v.input.Data[:len(b.slots)*each]
	b.view.Shape[0] = int64(len(b.slots))
	return &b.view, nil
}

// classify runs the network of v on the batch, then decides and publishes picture by picture.
func (p *Pipeline) classify(ctx context.Context, v *binding, b *batch) error {
	input, err := b.input(v)
	if err != nil {
		return err
	}
	start := time.Now()
	out := v.out[:len(b.slots)*v.labels]
	p.network.set(networkLimit)
	err = v.run(ctx, input, out)
	p.network.clear()
	if err != nil {
		return err
	}
	ran := time.Now()
	for i, l := range b.streams {
		d := &l.decision
		d.Signals = v.signalsOf(i)
		d.PValue = v.pValue(d.Signals)
		v.streams[l.index].decide(l, b.slots[i], v.out[i*v.labels:][:v.labels], d)
		p.watch(v, l, d)
		now, s := time.Now(), b.slots[i]
		d.Latency = vision.Latency{
			Capture: s.capture, Preprocess: s.prep, Wait: start.Sub(s.ready),
			Infer: ran.Sub(start), Post: now.Sub(ran), Total: now.Sub(s.frame.Time),
		}
		if err := p.tell(ctx, l, s); err != nil {
			return err
		}
	}
	if f, ok := v.network.(Follower); ok {
		p.network.set(networkLimit)
		f.After(ctx, input, out)
		p.network.clear()
	}
	return nil
}

func (s *streamBinding) decide(l *stream, from *slot, out vision.Logits, d *vision.Decision) {
	d.Camera, d.Frame, d.Time = l.name, from.frame.Seq, from.frame.Time
	s.decider.SetThreshold(math.Float64frombits(l.threshold.Load()))
	s.decider.SetUnknownBelow(math.Float64frombits(l.below.Load()))
	if own := l.thresholds.Load(); own != s.thresholds {
		s.decider.SetThresholds(*own)
		s.thresholds = own
	}
	s.decider.Decide(out, d)
}

// tell hands the stream's decision to whoever wants it, and the picture that it was made of.
func (p *Pipeline) tell(ctx context.Context, l *stream, s *slot) error {
	l.meter.add(&l.decision, l.drift.told)
	err := p.Publisher.Publish(ctx, &l.decision)
	l.deliver(&s.frame)
	if p.Recorder != nil {
		p.Recorder.Record(&l.decision, &s.frame)
	}
	return err
}
