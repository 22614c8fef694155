package camera

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errNoDecoder means that GStreamer lacks what a network camera's video needs.
var errNoDecoder = errors.New("GStreamer has no decoder for it")

// openSession opens rtsp:// and rtp://, whose packets we take ourselves and GStreamer decodes, at each
// place to which the server sends us: then u is changed to that place.
func openSession(ctx context.Context, u *URI, m machine) (source, Info, error) {
	for range hopLimit {
		var moved *movedError
		s, info, err := openSessionHere(ctx, u, m)
		if !errors.As(err, &moved) {
			return s, info, err
		}
		if err := u.moveTo(moved.to); err != nil {
			return nil, Info{}, fmt.Errorf("%w: %w", ErrLost, err)
		}
	}
	return nil, Info{}, errRound
}

// errRound is for servers that send us in a circle.
var errRound = fmt.Errorf("%w: the server sends us from one place to the next and never to the end: give the "+
	"address of the stream itself", ErrLost)

func openSessionHere(ctx context.Context, u *URI, m machine) (source, Info, error) {
	begin := u.begin
	if u.Scheme == "rtp" {
		begin = u.await
	}
	s, err := begin(ctx)
	if err != nil {
		return nil, Info{}, err
	}
	info := Info{Kind: u.Scheme, Live: true, ReadLimit: u.silence()}
	if u.Codec != "" && u.Codec != s.track.codec {
		info.Warnings = append(info.Warnings, fmt.Sprintf("the camera sends %s, not %s", s.track.codec, u.Codec))
	}
	u.Codec = s.track.codec
	if s.relay, err = newRelay(&s.track); err != nil {
		s.end()
		return nil, Info{}, err
	}
	l := &live{uri: u, opened: time.Now(), session: s}
	if err := l.start(ctx, m); err != nil {
		s.end()
		s.relay.close()
		return nil, Info{}, err
	}
	info.Backend = l.plan.backend.String()
	return l, info, nil
}

// start finds a decoder, sets the video up and opens the decoder. The video flows once the session
// is pumped.
func (l *live) start(ctx context.Context, m machine) error {
	profile := Generic
	if m.jetson {
		profile = Jetson
	}
	s := l.session
	text, known := l.uri.packetPipeline(profile, &s.track, int(s.relay.out.Fd()), l.uri.UDP || l.uri.Scheme == "rtp")
	fails := !known || pipelineError(text) != ""
	switch {
	case fails && l.uri.Scheme == "rtsp" && hasFFmpeg():
		return errNoDecoder
	case !known:
		return fmt.Errorf("the camera sends %.20q, want h264 or h265: switch it to one of them", s.track.codec)
	case fails && lacking(text) != "":
		return fmt.Errorf("%w: %s", ErrLost, lacking(text))
	}
	if err := s.setUp(ctx); err != nil {
		return err
	}
	text, _ = l.uri.packetPipeline(profile, &s.track, int(s.relay.out.Fd()), s.rtp != nil)
	l.plan = l.uri.planPackets(&plan{
		backend: backendGStreamer, text: text, flip: profile.turned(l.uri.Flip), patient: true, own: true,
	})
	var err error
	if l.capture, err = openCapture(l.plan); err != nil {
		return fmt.Errorf("%w: GStreamer cannot run the pipeline: %s", ErrLost, l.plan.text)
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), l.capture.close())
	}
	return nil
}

// ended is why a session's decoder gives no more frames.
func (l *live) ended(ctx context.Context) error {
	if err := l.session.failure(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: the decoder cannot make pictures of what the camera sends, which it calls %s: let it send "+
		"H.264 with key frames, or restart it", ErrLost, l.session.track.codec)
}

// Pump is what moves a network camera's packets to its decoder, nil where a source needs none. It is
// to be called once, on a goroutine of its own, and returns when the stream has ended or was closed.
func (s *Stream) Pump() func() {
	if l, ok := s.source.(*live); ok && l.session != nil {
		return l.session.pump
	}
	return nil
}
