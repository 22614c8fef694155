package camera

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"runtime"
	"time"

	"github.com/vggse/vggse-agent/vision"
)

// blindLimit is the longest distance of key frames that is waited for, in frames: ten seconds at
// 30.
const blindLimit = 300

// live is a camera, or what behaves like one.
type live struct {
	capture capturer
	plan    *plan
	foreign
	uri    *URI
	opened time.Time // when the opening began
	seen   bool      // there was a frame
	// blind is how many frames are not to be trusted. FFmpeg decodes H.265 from the middle of a
	// group of pictures to wrong colours, and its threads give frames out as many late as there
	// are.
	blind     int
	freshness freshness
	stamp     time.Duration // of the newest frame, as the backend gives it; 0: it does not
	still     time.Time     // since when stamp has been the same
	old       time.Duration // what age gives
	session   *session      // brings the video; nil: the decoder fetches it itself
}

func openLive(ctx context.Context, u *URI) (source, Info, error) {
	if u.Scheme == "onvif" {
		if err := u.onvif(ctx); err != nil {
			return nil, Info{}, err
		}
	}
	if bare := bareMachine(); (u.Scheme == "rtsp" || u.Scheme == "rtp") && bare.gstreamer {
		s, info, err := openSession(ctx, u, bare)
		if !errors.Is(err, errNoDecoder) {
			return s, info, err
		}
	}
	m, err := u.machine()
	if err != nil {
		return nil, Info{}, err
	}
	warning, err := u.look(ctx)
	if err != nil {
		return nil, Info{}, err
	}
	p, err := u.plan(m)
	if err != nil {
		return nil, Info{}, err
	}
	if err := u.typos(p); err != nil {
		return nil, Info{}, err
	}
	l := &live{plan: p, uri: u, opened: time.Now(), freshness: newFreshness()}
	c, err := openCapture(p)
	if err != nil {
		return nil, Info{}, u.explain(ctx, p, err, time.Since(l.opened))
	}
	info := Info{
		Kind: u.Scheme, Backend: p.backend.String(), Live: true, ReadLimit: p.limit,
		FPS: sane(c.property(propFPS)), Warnings: p.warnings,
	}
	if warning != "" {
		info.Warnings = append(info.Warnings, warning)
	}
	if u.Scheme == "v4l2" {
		info.Warnings = append(info.Warnings, u.compare(c)...)
	}
	if err := ctx.Err(); err != nil { // it may have ended while OpenCV was busy
		return nil, Info{}, errors.Join(err, c.close())
	}
	l.capture = c
	if p.backend == backendFFmpeg && u.Codec == "h265" {
		l.blind = blindLimit
	}
	return l, info, nil
}

// machine is what there is to read u with; of rtsp:// where GStreamer does not read it.
func (u *URI) machine() (machine, error) {
	bare := bareMachine()
	if bare.gstreamer && (u.Scheme == "csi" || u.Scheme == "gst" && !u.hasSink()) {
		return bare, nil
	}
	m, err := thisMachine()
	if u.Scheme == "rtsp" || u.Scheme == "rtp" {
		m.gstreamer = false
	}
	return m, err
}

// typos finds what is wrong with a pipeline of one's own: OpenCV opens some of those, too, and then
// waits for ever.
func (u *URI) typos(p *plan) error {
	if u.Scheme != "gst" {
		return nil
	}
	word := pipelineError(p.text)
	switch {
	case word == "":
		return nil
	case lacking(p.text) != "":
		word = lacking(p.text)
	}
	return fmt.Errorf("%w: GStreamer: %s", ErrLost, Redact(word))
}

// look finds out what can be told better than OpenCV does, which only says no: a server that does
// not answer, a device that is not there. It also learns the codec of a network stream.
func (u *URI) look(ctx context.Context) (warning string, err error) {
	switch u.Scheme {
	case "rtsp":
		codec, err := u.describe(ctx)
		if err == nil && u.Codec != "" && u.Codec != codec {
			warning = fmt.Sprintf("the camera sends %s, not %s", codec, u.Codec)
		}
		u.Codec = codec
		return warning, err
	case "v4l2":
		v, err := openV4L2(u.Target)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("%w: there is no %s: is the camera plugged in?", ErrLost, u.Target)
		case errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("%w: no permission for %s: add the user to the group video", ErrLost, u.Target)
		case err != nil:
			return "", fmt.Errorf("%w: %s cannot be used as a camera (%w): 'vggse-agent cameras' lists those that "+
				"can", ErrLost,
				u.Target, err)
		}
		return "", v.close()
	}
	return "", nil
}

// explain makes a sentence of a failed opening. It is always a loss: what is wrong now may have
// been right before, as with a camera that was unplugged, and udev needs a moment to give a new
// device its rights.
func (u *URI) explain(ctx context.Context, p *plan, err error, took time.Duration) error {
	switch {
	case !errors.Is(err, errNotOpened):
		return err
	case p.backend == backendGStreamer && lacking(p.text) != "":
		return fmt.Errorf("%w: %s", ErrLost, lacking(p.text))
	case u.Scheme == "rtsp" && p.backend == backendFFmpeg && len(url.UserPassword(u.User, u.Password).String()) > 127:
		return fmt.Errorf("%w: FFmpeg takes at most 127 characters of user and password: choose a shorter one", ErrLost)
	case u.Scheme == "rtsp":
		return u.unplayed(ctx, took)
	case p.own:
		return fmt.Errorf("%w: GStreamer: %s", ErrLost, Redact(err.Error()))
	case p.backend == backendGStreamer:
		return fmt.Errorf("%w: GStreamer cannot run the pipeline: try  gst-launch-1.0 %s", ErrLost, Redact(p.text))
	}
	return fmt.Errorf("%w: %s %s", ErrLost, u.Target, refusal(u.Target))
}

// unplayed is why a server's video that is described could not be opened within took.
func (u *URI) unplayed(ctx context.Context, took time.Duration) error {
	if took >= probeLimit {
		return fmt.Errorf("%w: the server describes its video but sends none, or too little of it: end its other "+
			"viewers, or restart the camera", ErrStalled)
	}
	if _, err := u.rehearse(ctx); err != nil {
		return err
	}
	return fmt.Errorf("%w: the server describes its video but does not send it: end its other viewers, or restart the "+
		"camera", ErrLost)
}

// refusal is why the device at path, which is there, cannot be a source just now.
func refusal(path string) string {
	d := Device{}
	switch camera := d.ask(path); {
	case !camera:
		return "is no camera: 'vggse-agent cameras' lists those of this machine"
	case d.State == "busy":
		return "is busy: another program reads it"
	case d.State != "free":
		return d.State
	}
	return "gives no pictures that OpenCV knows"
}

// compare says where a V4L2 driver chose another mode than the one asked for.
func (u *URI) compare(c capturer) (warnings []string) {
	if width, height := int(c.property(propWidth)), int(c.property(propHeight)); u.Width > 0 &&
		(width != u.Width || height != u.Height) {
		warnings = append(warnings, fmt.Sprintf("the camera gives %d×%d pixels, not %d×%d", width, height, u.Width,
			u.Height))
	}
	want := map[string]string{"mjpeg": "MJPG", "yuyv": "YUYV"}[u.Codec]
	if got := property(c.property(propFourCC)); want != "" && got != fourCC(want) {
		warnings = append(warnings, fmt.Sprintf("the camera does not give %s", want))
	}
	if fps := c.property(propFPS); u.FPS > 0 && fps > 0 && (fps < 0.9*u.FPS || fps > 1.1*u.FPS) {
		warnings = append(warnings, fmt.Sprintf("the camera gives %.3g frames a second, not %.3g", fps, u.FPS))
	}
	return warnings
}

// sane is a frame rate, or 0 for the nonsense that some streams declare.
func sane(fps float64) float64 {
	if fps > 0 && fps <= maxFPS {
		return fps
	}
	return 0
}

// next reads one frame. OpenCV does not say why there is none; the time that it took does.
func (l *live) next(ctx context.Context, f *vision.Frame) error {
	for {
		start := time.Now()
		ok, err := l.capture.read(l.memory(f, l.plan.flip))
		took := time.Since(start)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case !ok && l.session != nil:
			return l.ended(ctx)
		case ok && (l.plan.limit == 0 || took < l.plan.limit):
			l.seen = true
			if err := l.ticks(); err != nil {
				return err
			}
			if l.wanted() {
				return l.capture.copyTo(f, l.plan.flip)
			}
		case (l.plan.limit == 0 || took < l.plan.limit*3/4) && l.seen:
			return l.lost("the stream ended")
		case l.plan.limit == 0 || took < l.plan.limit*3/4:
			return l.none(ctx)
		case l.seen:
			// Even if there is one: FFmpeg's decoder gives away its last, old frame when it is told
			// to end.
			return fmt.Errorf("%w: no frame for %.1f s: see whether the source still runs", ErrStalled, took.Seconds())
		case !l.plan.patient || time.Since(l.opened) >= firstFrameLimit:
			return fmt.Errorf("%w: no first frame for %.1f s: see whether the source sends, and pictures that stand "+
				"for themselves (key frames)", ErrStalled, time.Since(l.opened).Seconds())
		}
	}
}

// none is why a source has ended before its first frame: GStreamer opens before it asks a server.
func (l *live) none(ctx context.Context) error {
	if l.uri.Scheme == "rtsp" {
		if _, err := l.uri.rehearse(ctx); err != nil {
			return err
		}
	}
	return l.lost("there was no frame")
}

// lost is a loss in our words and those of what reads the source.
func (l *live) lost(what string) error {
	if why := l.capture.why(); why != "" {
		what += ": GStreamer: " + Redact(why)
	}
	return fmt.Errorf("%w: %s", ErrLost, what)
}

// ticks looks at the clock of the stream: frames that come while it stands still are the same one
// again and again.
func (l *live) ticks() error {
	stamp := time.Duration(l.capture.property(propPosition) * float64(time.Millisecond))
	now := time.Now()
	if stamp <= 0 || stamp != l.stamp {
		l.stamp, l.still = stamp, now
		return nil
	}
	if stood := now.Sub(l.still); l.plan.backend != backendGStreamer && stood >= max(l.plan.limit, silenceLimit) {
		return fmt.Errorf("%w: frames come, but the clock of the stream has stood still for %.1f s: restart the "+
			"camera", ErrStalled, stood.Seconds())
	}
	return nil
}

// wanted reports whether the frame that was read is whole and new, where the backend leaves that to
// us.
func (l *live) wanted() bool {
	if l.plan.backend == backendV4L2 {
		l.old = sinceBoot() - l.stamp
	}
	if l.plan.backend != backendFFmpeg {
		return true
	}
	if l.blind > 0 {
		l.blind--
		if l.capture.property(propKeyFrame) != 0 {
			l.blind = min(l.blind, runtime.NumCPU())
		}
		return false
	}
	now := time.Since(l.opened)
	fresh := l.freshness.fresh(now, l.stamp)
	l.old = now - l.stamp - l.freshness.lead
	return fresh
}

func (l *live) age() (time.Duration, bool) {
	if l.session != nil && l.uri.Scheme == "rtsp" {
		return time.Duration(l.session.relay.old.Load()), l.session.relay.started.Load()
	}
	known := l.stamp > 0 && (l.plan.backend == backendFFmpeg || l.plan.backend == backendV4L2)
	return max(l.old, 0), known
}

func (l *live) close() error {
	if l.session == nil {
		return l.capture.close()
	}
	l.session.end()
	err := l.capture.close()
	l.session.relay.close()
	return err
}
