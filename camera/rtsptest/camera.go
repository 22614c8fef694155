package main

import (
	"crypto/rand"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/auth"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
	"github.com/pion/rtp"
)

// camera films for ever and serves whoever connects.
type camera struct {
	units          []unit
	fps            float64
	user, password string
	nonce          string
	media          *description.Media
	encode         func(unit) ([]*rtp.Packet, error)
	address        string // of the listener, kept for up
	udp            bool   // packets go beside the connection, and only there

	mu     sync.Mutex // guards what follows
	server *gortsplib.Server
	stream *gortsplib.ServerStream // nil while dead
	mode   string
	sent   int
}

func newCamera(units []unit, codec string, fps float64, user, password string) *camera {
	nonce, err := auth.GenerateNonce()
	must(err)
	c := &camera{units: units, fps: fps, user: user, password: password, nonce: nonce, address: "127.0.0.1:0",
		mode: "play"}
	c.media = &description.Media{Type: description.MediaTypeVideo}
	c.media.Formats, c.encode = formatOf(codec, units)
	return c
}

// formatOf is how a codec goes into packets.
func formatOf(codec string, units []unit) ([]format.Format, func(unit) ([]*rtp.Packet, error)) {
	switch codec {
	case "h265":
		f := &format.H265{
			PayloadTyp: 96, VPS: parameter(units, codec, h265VPS),
			SPS: parameter(units, codec, h265SPS), PPS: parameter(units, codec, h265PPS),
		}
		encoder, err := f.CreateEncoder()
		must(err)
		return []format.Format{f}, func(u unit) ([]*rtp.Packet, error) { return encoder.Encode(u) }
	case "mpeg4":
		f := &format.MPEG4Video{PayloadTyp: 96, ProfileLevelID: 1, Config: mpeg4Config(units[0][0])}
		encoder, err := f.CreateEncoder()
		must(err)
		return []format.Format{f}, func(u unit) ([]*rtp.Packet, error) { return encoder.Encode(u[0]) }
	case "vp8":
		f := &format.VP8{PayloadTyp: 96}
		encoder, err := f.CreateEncoder()
		must(err)
		return []format.Format{f}, func(u unit) ([]*rtp.Packet, error) { return encoder.Encode(u[0]) }
	case "vp9":
		f := &format.VP9{PayloadTyp: 96}
		encoder, err := f.CreateEncoder()
		must(err)
		return []format.Format{f}, func(u unit) ([]*rtp.Packet, error) { return encoder.Encode(u[0]) }
	}
	f := &format.H264{
		PayloadTyp: 96, PacketizationMode: 1,
		SPS: parameter(units, codec, h264SPS), PPS: parameter(units, codec, h264PPS),
	}
	encoder, err := f.CreateEncoder()
	must(err)
	return []format.Format{f}, func(u unit) ([]*rtp.Packet, error) { return encoder.Encode(u) }
}

func must(err error) {
	if err != nil {
		log.Fatalf("rtsptest: %v", err)
	}
}

// up starts to listen, the first time at any free port.
func (c *camera) up() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream != nil {
		return nil
	}
	server := &gortsplib.Server{Handler: c, RTSPAddress: c.address,
		Listen: func(network, address string) (net.Listener, error) {
			l, err := net.Listen(network, address)
			if err == nil {
				c.address = l.Addr().String()
			}
			return l, err
		}}
	if c.udp {
		server.UDPRTPAddress, server.UDPRTCPAddress = freePair()
	}
	if err := server.Start(); err != nil {
		return err
	}
	c.server = server
	c.stream = gortsplib.NewServerStream(server, &description.Session{Medias: []*description.Media{c.media}})
	return nil
}

// freePair finds two ports one behind the other, the first even (RFC 3550, section 11).
func freePair() (rtp, rtcp string) {
	for {
		first, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(err)
		port := first.LocalAddr().(*net.UDPAddr).Port
		first.Close()
		rtp, rtcp = fmt.Sprint("127.0.0.1:", port), fmt.Sprint("127.0.0.1:", port+1)
		if second, err := net.ListenPacket("udp", rtcp); err == nil {
			second.Close()
			if port%2 == 0 {
				return rtp, rtcp
			}
		}
	}
}

func (c *camera) die() {
	c.mu.Lock()
	server, stream := c.server, c.stream
	c.server, c.stream = nil, nil
	c.mu.Unlock()
	if stream != nil {
		stream.Close()
		server.Close()
	}
}

// obey does what a command says and returns the answer to it.
func (c *camera) obey(command string) string {
	switch command {
	case "play", "stall", "slow", "garbage":
		c.mu.Lock()
		c.mode = command
		c.mu.Unlock()
	case "die":
		c.die()
	case "up":
		if err := c.up(); err != nil {
			return "error: " + err.Error()
		}
	case "at":
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Sprint(c.sent)
	default:
		return "error: unknown command " + command
	}
	return "ok"
}

// film sends picture after picture.
func (c *camera) film() {
	start, step := time.Now(), time.Duration(float64(time.Second)/c.fps)
	for n := 0; ; n++ {
		due := start.Add(time.Duration(n) * step)
		if late := time.Since(due); late > time.Second { // we were stopped: a camera does not make up for it
			start, due = start.Add(late), due.Add(late)
		}
		time.Sleep(time.Until(due))
		c.mu.Lock()
		stream, mode := c.stream, c.mode
		c.mu.Unlock()
		if stream == nil || mode == "stall" || mode == "slow" && n%10 != 0 {
			continue
		}
		packets, err := c.encode(c.units[n%len(c.units)])
		must(err)
		for _, p := range packets {
			if mode == "garbage" {
				p.Payload = make([]byte, len(p.Payload)) // the old one may be a part of the film
				rand.Read(p.Payload)
			}
			p.Timestamp += uint32(90_000 * float64(n) / c.fps) // RFC 6184: a clock of 90 kHz
			stream.WritePacketRTP(c.media, p)                  // a stream that was closed meanwhile sends nothing
		}
		c.mu.Lock()
		c.sent = n + 1
		c.mu.Unlock()
	}
}

// digest is how cameras ask for a password: FFmpeg 5.1 fails where SHA-256 is offered beside it.
var digest = []auth.ValidateMethod{auth.ValidateMethodDigestMD5}

// current is the stream, or the answer of a server that has none or wants to know who asks.
func (c *camera) current(r *base.Request) (*base.Response, *gortsplib.ServerStream, error) {
	if c.user != "" {
		if err := auth.Validate(r, c.user, c.password, digest, "rtsptest", c.nonce); err != nil {
			return &base.Response{StatusCode: base.StatusUnauthorized, Header: base.Header{
				"WWW-Authenticate": auth.GenerateWWWAuthenticate(digest, "rtsptest", c.nonce),
			}}, nil, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

// OnDescribe answers DESCRIBE, at the path /cam.
func (c *camera) OnDescribe(ctx *gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream,
	error) {
	if ctx.Path != "/cam" {
		return &base.Response{StatusCode: base.StatusNotFound}, nil, nil
	}
	return c.current(ctx.Request)
}

// OnSetup answers SETUP.
func (c *camera) OnSetup(ctx *gortsplib.ServerHandlerOnSetupCtx) (*base.Response, *gortsplib.ServerStream, error) {
	if c.udp && ctx.Transport == gortsplib.TransportTCP {
		return &base.Response{StatusCode: base.StatusUnsupportedTransport}, nil, nil
	}
	return c.current(ctx.Request)
}

// OnPlay answers PLAY.
func (c *camera) OnPlay(*gortsplib.ServerHandlerOnPlayCtx) (*base.Response, error) {
	return &base.Response{StatusCode: base.StatusOK}, nil
}
