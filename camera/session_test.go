package camera

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/camera/cameratest"
	"github.com/vggse/vggse-agent/vision"
)

// needSession skips where GStreamer cannot decode what an RTSP session brings.
func needSession(t *testing.T) {
	t.Helper()
	if m := needOpenCV(t); !m.gstreamer {
		t.Skip("OpenCV without GStreamer")
	}
}

// A camera whose picture changes its size in mid-stream is followed: each frame has the size that
// was sent, and shows its picture.
func TestRTSPSizeChanges(t *testing.T) {
	needSession(t)
	t.Parallel()
	cam := cameratest.StartRTSP(t, cameratest.Sizes)
	s := mustOpen(t, Config{Source: cam.URL})
	var f vision.Frame
	width, changes := 0, 0
	for end := time.Now().Add(hangs); changes < 2; {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatal(err)
		}
		if f.Width != cameratest.Width && f.Width != 2*cameratest.Width || 4*f.Height != 3*f.Width {
			t.Fatalf("a frame of %d×%d", f.Width, f.Height)
		}
		if n := cameratest.Number(&f); n >= cameratest.StreamFrames/2 {
			t.Fatalf("a frame of %d×%d shows picture %d of %d", f.Width, f.Height, n, cameratest.StreamFrames/2)
		}
		if width != 0 && f.Width != width {
			changes++
		}
		width = f.Width
		if time.Now().After(end) {
			t.Fatalf("%d changes of the size within %s", changes, hangs)
		}
	}
}

// A server may send us elsewhere at any time: at SETUP, at PLAY, and while it plays.
func TestRTSPSentElsewhere(t *testing.T) {
	needSession(t)
	t.Parallel()
	const sdp = "v=0\nm=video 0 RTP/AVP 97\na=rtpmap:97 H264/90000\na=control:trackID=1\n"
	for name, answers := range map[string]func(to string) []string{
		"SETUP": func(to string) []string {
			return []string{described(sdp), "RTSP/1.0 302 Moved\nLocation: " + to + "\n\n"}
		},
		"PLAY": func(to string) []string {
			return []string{described(sdp), setUp, "RTSP/1.0 301 Moved\nLocation: " + to + "\n\n"}
		},
		"PLAY without a range": func(to string) []string {
			return []string{described(sdp), setUp, "RTSP/1.0 457 Invalid Range\n\n",
				"RTSP/1.0 301 Moved\nLocation: " + to + "\n\n"}
		},
		"REDIRECT": func(to string) []string {
			return []string{described(sdp), setUp, "RTSP/1.0 200 OK\n\n" +
				"REDIRECT rtsp://h/x RTSP/1.0\nCSeq: 7\nLocation: " + to + "\n\n"}
		},
	} {
		cam := cameratest.StartRTSP(t, cameratest.Whole)
		address, _ := server(t, answers(cam.URL)...)
		s := mustOpen(t, Config{Source: "rtsp://" + address + "/x"})
		t.Log(name)
		readFresh(t, s, cam, 20)
		s.Close()
	}
	address, _ := server(t, described(sdp), setUp, "RTSP/1.0 302 Moved\nLocation: http://h/x\n\n")
	s := mustOpen(t, Config{Source: "rtsp://" + address + "/x"})
	if _, err := drain(t.Context(), s); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "is no rtsp://") {
		t.Errorf("to no rtsp://: %v", err)
	}
}

// A camera that sends only beside its connection is read, asked for or not, and its silence is
// noticed.
func TestRTSPByUDP(t *testing.T) {
	needSession(t)
	t.Parallel()
	for _, keys := range []string{"", "#transport=udp"} {
		cam := cameratest.StartRTSP(t, cameratest.Whole, "-udp")
		s := mustOpen(t, Config{Source: cam.URL + keys})
		readFresh(t, s, cam, 20)
		cam.Do("stall")
		if _, err := drain(t.Context(), s); err == nil || !strings.Contains(err.Error(), "no packet of the video") {
			t.Errorf("a silent camera: %v", err)
		}
	}
}

// What somebody sends to a port of ours is shown, and its end is noticed.
func TestRTP(t *testing.T) {
	needSession(t)
	t.Parallel()
	data, err := os.ReadFile(cameratest.Video(t, "a.h264", 30, strings.Fields("-c:v libx264 -preset ultrafast -g 1 "+
		"-pix_fmt yuv420p -x264-params sliced-threads=0:repeat-headers=1")...))
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.LocalAddr().String()
	free.Close()
	s := mustOpen(t, Config{Source: "rtp://" + address + "?codec=h264"})
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stop, sent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sent)
		packet, sequence, stamp := []byte{0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(0), uint32(0)
		for {
			for _, nal := range bytes.Split(data, []byte{0, 0, 1}) {
				if nal = bytes.TrimRight(nal, "\x00"); len(nal) == 0 {
					continue
				}
				picture := nal[0]&0x1f == 5
				binary.BigEndian.PutUint16(packet[2:], sequence)
				binary.BigEndian.PutUint32(packet[4:], stamp)
				packet[1] = 96
				if picture { // the last of its time
					packet[1] |= 0x80
				}
				conn.Write(append(packet[:12:12], nal...))
				if sequence++; !picture {
					continue
				}
				stamp += 3000
				select {
				case <-stop:
					return
				case <-time.After(time.Second / 30):
				}
			}
		}
	}()
	var f vision.Frame
	for i := range 20 {
		if err := s.Read(t.Context(), &f); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if n := cameratest.Number(&f); n >= 30 || f.Width != cameratest.Width {
			t.Errorf("frame %d of %d×%d shows picture %d of 30", i, f.Width, f.Height, n)
		}
	}
	close(stop)
	<-sent
	_, err = drain(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), "no packet of the video for 2.0 s") {
		t.Errorf("after the last packet: %v", err)
	}
}

// Passwords go by Digest with SHA-256 where the camera wants that, and packets follow; what a camera
// says between them does no harm.
func TestSession(t *testing.T) {
	packet := "$\x00\x00\x10" + "\x80\x60\x00\x01" + strings.Repeat("\x00", 8) + "\x67\x01\x02\x03"
	audio := "$\x02\x00\x04abcd"
	address, asked := server(t, "RTSP/1.0 401 Unauthorized\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", "+
		"algorithm=SHA-256, qop=\"auth\"\n\n", described("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n"), setUp,
		audio+"RTSP/1.0 200 OK\n\nx"+packet+"ANNOUNCE"+packet+"SET_PARAMETER rtsp://h/x RTSP/1.0\nCSeq: 77\n"+
			"Content-Length: 3\n\na$b"+packet)
	u := URI{Scheme: "rtsp", Target: address + "/x", User: "u", Password: "SECRET"}
	u.Timeout = time.Second
	s, err := u.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.relay, err = newRelay(&s.track); err != nil {
		t.Fatal(err)
	}
	if err := s.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.pump() // until the silence
	if err := s.failure(t.Context()); err == nil || !strings.Contains(err.Error(), "no packet of the video for 1.0 s") {
		t.Errorf("after the last packet: %v", err)
	}
	got, err := io.ReadAll(s.relay.out)
	if want := strings.Repeat(packet[2:], 3); string(got) != want || err != nil {
		t.Errorf("the decoder got %q, %v, want %q", got, err, want)
	}
	s.end()
	s.relay.close()
	words := asked()
	if !strings.Contains(words, "algorithm=SHA-256") || strings.Contains(words, "Basic") ||
		strings.Contains(words, "SECRET") || !strings.Contains(words, "TEARDOWN") ||
		!strings.Contains(words, "RTSP/1.0 200 OK\r\nCSeq: 77\r\n") {
		t.Error(words)
	}
}

// A decoder that does not keep up gets no more until the next picture that stands for itself, and
// never a part of a packet.
func TestRelay(t *testing.T) {
	r, err := newRelay(&track{codec: "h264", payload: 96, clock: 90000})
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	now := time.Now()
	packet := func(kind byte, n int) []byte {
		b := make([]byte, 2+12+n)
		binary.BigEndian.PutUint16(b, uint16(12+n))
		b[2], b[3], b[14] = 0x80, 96, kind
		return b
	}
	pass := func(kind byte, n int, at time.Duration) {
		t.Helper()
		if err := r.pass(packet(kind, n), now.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	var want []byte
	pass(1, 100, 0) // no key frame yet
	pass(5, 100, 0)
	pass(1, 200, 0)
	want = append(append(want, packet(5, 100)...), packet(1, 200)...)
	pass(5, 300, 2*behind) // nobody has read for so long
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r.out, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%v, %x, want %x", err, got, want)
	}
	pass(1, 100, 2*behind)
	pass(7, 50, 2*behind)
	for range r.size / 60000 * 2 { // more than it holds
		pass(1, 60000, 2*behind)
	}
	r.finish()
	rest, err := io.ReadAll(r.out)
	whole := len(rest) - len(packet(7, 50))
	if err != nil || whole <= 0 || whole%len(packet(1, 60000)) != 0 || rest[14] != 7 {
		t.Errorf("%d bytes, %v", len(rest), err)
	}
}

// A packet is as old as it comes later than the freshest, by the stream's clock, which may overflow and
// be set.
func TestClock(t *testing.T) {
	c, start := clock{rate: 90000}, time.Now()
	first := ^uint32(0) - 90000/2
	for _, tt := range []struct{ stream, ours, want time.Duration }{
		{0, 0, 0}, {100, 100, 0}, {200, 350, 150}, {300, 350, 50}, {400, 390, 0}, {1000, 1090, 100},
		{500_000, 1100, 0}, {500_100, 1200, 0},
	} {
		ticks := first + uint32(tt.stream*90)
		got := c.age(ticks, start.Add(tt.ours*time.Millisecond))
		if want := tt.want * time.Millisecond; (got - want).Abs() > 2*time.Millisecond {
			t.Errorf("at %d ms: %s, want %s", tt.ours, got, want)
		}
	}
}

// What begins a picture that stands for itself, by the standards of the codecs.
func TestStartsPicture(t *testing.T) {
	head := "\x80\x60" + strings.Repeat("\x00", 10)
	for _, tt := range []struct {
		codec, payload string
		want           bool
	}{
		{"h264", "\x67abc", true}, {"h264", "\x65abc", true}, {"h264", "\x61abc", false},
		{"h264", "\x78\x00\x09\x67abc", true}, {"h264", "\x7c\x85ab", true}, {"h264", "\x7c\x05ab", false},
		{"h265", "\x40\x01ab", true}, {"h265", "\x26\x01ab", true}, {"h265", "\x02\x01ab", false},
		{"h265", "\x62\x01\x93a", true}, {"h265", "\x62\x01\x13a", false}, {"h265", "\x60\x01ab", true},
		{"jpeg", "\x00\x00\x00\x00", true}, {"jpeg", "\x00\x00\x05\x00", false}, {"h264", "\x67", false},
		{"mp4v-es", "abcd", false}, {"mp4v-es", "\x00\x00\x01\xb0\x01", true},
		{"mp4v-es", "\x00\x00\x01\xb6\x10", true}, {"mp4v-es", "\x00\x00\x01\xb6\x50", false},
		{"vp8", "\x10\x50aa", true}, {"vp8", "\x10\x51aa", false}, {"vp8", "\x00\x50aa", false},
		{"vp8", "\x90\x80\x81\x02\x50aa", true}, {"vp8", "\x90\xf0\x01\x02\x03\x51", false},
		{"vp8", "\x90\xf0\x01\x02", false},
		{"vp9", "\x8c\x80\x01a", true}, {"vp9", "\xcc\x80\x01a", false}, {"vp9", "\x84\x80\x01a", false},
		{"other", "abcd", true},
	} {
		if got := startsPicture(tt.codec, []byte(head+tt.payload)); got != tt.want {
			t.Errorf("%s %q: %v", tt.codec, tt.payload, got)
		}
		extended := "\x92" + head[1:] + strings.Repeat("c", 8) + "\xbe\xde\x00\x01eeee" + tt.payload
		if got := startsPicture(tt.codec, []byte(extended)); got != tt.want {
			t.Errorf("%s %q behind an extension: %v", tt.codec, tt.payload, got)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte("$\x00\x00\x10\x80\x60\x00\x01aaaaaaaabbbb"))
	f.Add([]byte("RTSP/1.0 200 OK\r\n\r\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		ours, theirs := net.Pipe()
		go func() {
			go io.Copy(io.Discard, theirs)
			theirs.Write(said)
			theirs.Close()
		}()
		s := (&URI{Scheme: "rtsp"}).sessionOn(ours)
		var err error
		if s.relay, err = newRelay(&track{codec: "h264", payload: 96, clock: 90000}); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { io.Copy(io.Discard, s.relay.out); close(done) }()
		s.pump()
		<-done
		s.end()
		s.relay.close()
	})
}

// Pictures that change their size or their pixel format in mid-film come as they are.
func TestFilmChanges(t *testing.T) {
	needSession(t)
	var sizes, formats []byte
	for i, size := range []string{"320:240", "160:120", "640:480"} {
		path := cameratest.Video(t, "part.ts", 20, strings.Fields("-c:v libx264 -preset ultrafast -pix_fmt "+
			[]string{"yuv420p", "yuv422p", "yuv444p"}[i]+" -vf scale="+size)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, data...)
		path = cameratest.Video(t, "part.mjpeg", 20, strings.Fields("-c:v mjpeg -pix_fmt "+
			[]string{"yuvj422p", "yuvj420p", "yuvj444p"}[i])...)
		if data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		formats = append(formats, data...)
	}
	for name, data := range map[string][]byte{"sizes.ts": sizes, "formats.mjpeg": formats} {
		path := t.TempDir() + "/" + name
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, Config{Source: "file://" + path + "?speed=max"})
		var f vision.Frame
		for i := range 60 {
			if err := s.Read(t.Context(), &f); err != nil {
				t.Fatalf("%s: frame %d: %v", name, i, err)
			}
			want := cameratest.Width
			if name == "sizes.ts" {
				want = []int{320, 160, 640}[i/20]
			}
			if n := cameratest.Number(&f); n != i%20 || f.Width != want {
				t.Errorf("%s: frame %d shows picture %d of part %d, %d pixels wide", name, i, n, i/20, f.Width)
			}
		}
		if err := s.Read(t.Context(), &f); err != io.EOF {
			t.Errorf("%s: after the last frame: %v", name, err)
		}
	}
}

// A server that announces one type of packets and sends another is heard; reports and packets of other types beside
// the right ones are not.
func TestForeignTypes(t *testing.T) {
	for name, tt := range map[string]struct {
		kinds []byte
		want  string
	}{
		"as announced":  {[]byte{96, 96, 97, 96}, "1101"},
		"another":       {[]byte{105, 105, 97, 105}, "1101"},
		"at last right": {[]byte{105, 96, 105, 96}, "1101"},
		"reports":       {[]byte{72, 73, 105, 72}, "0010"},
	} {
		r := &relay{payload: 96, other: anyPayload}
		got := ""
		for _, kind := range tt.kinds {
			got += map[bool]string{true: "1", false: "0"}[r.ours(kind)]
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// What a server's way of sending is not, and where it ends the connection, is told.
func TestSessionRefused(t *testing.T) {
	tests := map[string]struct {
		answers []string
		want    string
	}{
		"no transport": {[]string{described(sdpVideo), "RTSP/1.0 461 No\n\n", "RTSP/1.0 461 No\n\n"},
			"neither through TCP nor by UDP"},
		"multicast": {[]string{described(sdpVideo), "RTSP/1.0 200 OK\nTransport: RTP/AVP;multicast;port=5000-5001\n\n"},
			"sends by multicast"},
	}
	for name, tt := range tests {
		address, _ := server(t, tt.answers...)
		u := URI{Scheme: "rtsp", Target: address + "/x"}
		s, err := u.begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err = s.setUp(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		s.end()
	}
	s := &session{why: io.EOF, talk: &conversation{opening: true}, relay: new(relay)}
	if err := s.failure(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "at PLAY: it may "+
		"serve") {
		t.Error(err)
	}
	s.talk.opening = false
	if err := s.failure(t.Context()); strings.Contains(err.Error(), "PLAY") {
		t.Error(err)
	}
}

// What keeps TLS from standing is told by what the server wants.
func TestTLSErrors(t *testing.T) {
	for said, want := range map[string]string{
		"remote error: tls: certificate required":           "wants a certificate of its clients",
		"remote error: tls: unrecognized name":              "by which it knows itself",
		"remote error: tls: internal error":                 "settings and log",
		"remote error: tls: protocol version not supported": "allow TLS 1.2 or newer there, or write http://",
	} {
		if got := tlsError(errors.New(said), "http://").Error(); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", said, got, want)
		}
	}
}

// A port at which nobody can wait is told with what to do.
func TestListenErrors(t *testing.T) {
	busy, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for target, want := range map[string]string{
		busy.LocalAddr().String(): "end it, or choose another port", "192.0.2.1:5004": "no address of this machine",
		"nosuch.invalid:5004": "nosuch.invalid",
	} {
		u := URI{Scheme: "rtp", Target: target}
		if _, err := u.await(t.Context()); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", target, err, want)
		}
	}
}
