package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/gorilla/websocket"
)

var hostileFor = flag.Duration("hostile", 3*time.Second, "how long TestHostilePeers attacks (make soak: 1h)")

// memoryUnderAttack is what the agent may take beyond what it has, KiB. In a short attack some of it
// is what any first request takes.
const memoryUnderAttack = 32 << 10

// peers attack an agent: they are its broker, its browsers, and whoever else finds its port.
type peers struct {
	http string // address of the agent's page
	did  [4]atomic.Int64
}

// names of what is counted.
var peerKinds = [4]string{"connections of a broker", "requests", "half requests", "sockets"}

// broker says what no broker says, to one client after the other.
func (p *peers) broker(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r := rand.New(rand.NewPCG(uint64(p.did[0].Add(1)), 9))
			c.SetDeadline(time.Now().Add(3 * time.Second))
			if _, err := packets.ReadPacket(c); err != nil {
				return
			}
			if r.IntN(5) > 0 {
				c.Write([]byte{0x20, 2, 0, 0})
			}
			big := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
			big.TopicName, big.Retain = "vggse/edge/command", true
			switch r.IntN(6) {
			case 0: // a message too large, and more of it than was announced
				big.Payload = make([]byte, 8<<20)
			case 1:
				big.Payload = bytes.Repeat([]byte(`{"id":"`), 1<<r.IntN(13))
			case 2: // commands faster than any are taken
				for n := range 3000 {
					again := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
					again.TopicName = "vggse/edge/command"
					again.Payload = fmt.Appendf(nil, `{"id":"%d","name":"reload","ts":"2026-01-01T00:00:00Z"}`, n)
					again.Write(c)
				}
			case 3:
				noise(c, r, 1<<r.IntN(20))
			case 4: // one byte a while, of a length that never ends
				for range 20 {
					c.Write([]byte{0x30, 0xff, 0xff, 0xff, 0xff})
					time.Sleep(50 * time.Millisecond)
				}
			}
			if big.Payload != nil {
				big.Write(c)
			}
			io.CopyN(io.Discard, c, 1<<uint(r.IntN(20))) //nolint:errcheck // the end of a connection
		}()
	}
}

// noise writes n bytes.
func noise(w io.Writer, r *rand.Rand, n int) {
	var b [8]byte
	for ; n > 0; n -= len(b) {
		binary.LittleEndian.PutUint64(b[:], r.Uint64())
		if _, err := w.Write(b[:]); err != nil {
			return
		}
	}
}

// paths of the page and of what it has not.
var paths = strings.Fields(`/ /healthz /readyz /metrics /version /login /api/socket /api/history
/api/history?camera=9999999999 /api/history?camera=0&from=-1&to=1e99 /api/replay?id=x /api/events?after=-9 /api/device
/live/camera.jpg /live/camera.mjpeg /live/..%2f..%2fetc%2fpasswd /static/../../go.mod /static/ /api/teach/report.html
/api/samples?limit=99999999 /api/samples.zip /api/samples/picture?id=../../x /debug/pprof/heap //x /%00 /api/threshold
/api/teach /api/model/activate`)

// browse asks for everything, in every manner, and leaves answers half read.
func (p *peers) browse(ctx context.Context, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 10))
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: r.IntN(2) == 0}}
	for ctx.Err() == nil {
		method := []string{"GET", "GET", "GET", "POST", "PUT", "HEAD", "TRACE", "X"}[r.IntN(8)]
		var body io.Reader
		if method == "POST" || r.IntN(9) == 0 {
			body = bytes.NewReader(make([]byte, 1<<r.IntN(18)))
		}
		req, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+paths[r.IntN(len(paths))], body)
		if err != nil {
			continue
		}
		req.Header.Set("Cookie", strings.Repeat("s=x;", r.IntN(500)))
		req.Header.Set("Authorization", "Bearer "+strconv.Itoa(r.IntN(1e9)))
		if r.IntN(4) == 0 {
			req.Host = "evil.example"
		}
		p.did[1].Add(1)
		if res, err := client.Do(req); err == nil {
			io.CopyN(io.Discard, res.Body, 1<<uint(r.IntN(20))) //nolint:errcheck // left half read
			res.Body.Close()
		}
	}
}

// half begins requests, connections and bodies, and does not end them.
func (p *peers) half(ctx context.Context, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 11))
	for ctx.Err() == nil {
		c, err := net.DialTimeout("tcp", p.http, time.Second)
		if err != nil {
			continue
		}
		p.did[2].Add(1)
		c.SetDeadline(time.Now().Add(3 * time.Second))
		switch r.IntN(6) {
		case 0:
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n")
		case 1:
			io.WriteString(c, "POST /login HTTP/1.1\r\nHost: "+p.http+"\r\nContent-Length: 2000\r\n\r\ntoken=")
		case 2:
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+p.http+"\r\nX: ")
			noise(c, r, 1<<20)
		case 3:
			io.WriteString(c, "POST /api/teach HTTP/1.1\r\nHost: "+p.http+
				"\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n")
			noise(c, r, 1<<18)
		case 4:
			c.Write([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")) // TLS where there is none
		case 5:
			noise(c, r, 1<<r.IntN(16))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(1500)) * time.Millisecond):
		}
		c.Close()
	}
}

// sockets are opened, and say what the page never says, or read nothing.
func (p *peers) sockets(ctx context.Context, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 12))
	for ctx.Err() == nil {
		dialer := websocket.Dialer{HandshakeTimeout: 2 * time.Second, EnableCompression: r.IntN(2) == 0}
		c, _, err := dialer.DialContext(ctx, "ws://"+p.http+"/api/socket", nil)
		if err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		p.did[3].Add(1)
		c.SetWriteDeadline(time.Now().Add(2 * time.Second))
		switch r.IntN(7) {
		case 0:
			c.WriteMessage(websocket.TextMessage, make([]byte, 4<<20))
		case 1:
			c.WriteMessage(websocket.BinaryMessage, []byte{0})
		case 2:
			for n := range 2000 {
				text := fmt.Appendf(nil, `{"camera":%d,"picture":true}`, n%3-1)
				if c.WriteMessage(websocket.TextMessage, text) != nil {
					break
				}
			}
		case 3:
			for range 2000 {
				if c.WriteControl(websocket.PingMessage, make([]byte, 125), time.Now().Add(time.Second)) != nil {
					break
				}
			}
		case 4:
			noise(c.NetConn(), r, 1<<r.IntN(18))
		case 5: // half a frame
			c.NetConn().Write([]byte{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		}
		select { // whatever comes waits
		case <-ctx.Done():
		case <-time.After(time.Duration(r.IntN(2000)) * time.Millisecond):
		}
		c.Close()
	}
}

// resident is the memory of a process, KiB.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// framesOf are those that the agent has classified; -1: it does not answer.
func framesOf(address string) int {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), `vggse_frames_classified_total{camera="camera"} `); ok {
			n, _ := strconv.ParseFloat(value, 64)
			return int(n)
		}
	}
	return -1
}

// TestHostilePeers: a broker that talks nonsense, and browsers and sockets that do what they like,
// neither end the agent nor take its memory; it classifies all the while, and answers afterwards.
func TestHostilePeers(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peers{http: free.Addr().String()}
	free.Close()
	go p.broker(broker)
	var log bytes.Buffer
	agent := startAgentTo(t, &log, "", "run", "--config", os.DevNull, "--bundle", "../../demo/bundle", "--source",
		"demo://parts?fps=10&width=320&height=180", "--broker", "tcp://"+broker.Addr().String(), "--set",
		"device.id=edge", "--set", "state_dir="+t.TempDir(), "--set", "http.listen="+p.http, "--log-level", "error")
	for end := time.Now().Add(patience); framesOf(p.http) < 1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the agent does not answer: %.2000s", log.Bytes())
		}
	}
	before, frames := resident(t, agent.Process.Pid), framesOf(p.http)
	ctx, cancel := context.WithTimeout(t.Context(), *hostileFor)
	defer cancel()
	var crowd sync.WaitGroup
	for n := range uint64(4) {
		for _, attack := range []func(context.Context, uint64){p.browse, p.half, p.sockets} {
			crowd.Go(func() { attack(ctx, n) })
		}
	}
	most := before
	for ctx.Err() == nil {
		time.Sleep(200 * time.Millisecond)
		most = max(most, resident(t, agent.Process.Pid))
	}
	crowd.Wait()
	after := -1
	for end := time.Now().Add(patience); after <= frames && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		after = framesOf(p.http)
	}
	if after <= frames {
		t.Errorf("%d frames were classified before, %d after: %.2000s", frames, after, log.Bytes())
	}
	agent.Process.Signal(syscall.SIGTERM)
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ended with %v: %.2000s", err, log.Bytes())
	}
	var said []string
	for i, kind := range peerKinds {
		said = append(said, fmt.Sprintf("%d %s", p.did[i].Load(), kind))
		if p.did[i].Load() == 0 {
			t.Errorf("no %s: the test does not test", kind)
		}
	}
	t.Logf("%s: %s; %d frames meanwhile; RSS %d KiB before, at most %d", *hostileFor, strings.Join(said, ", "),
		after-frames, before, most)
	if most-before > memoryUnderAttack {
		t.Errorf("RSS grew by %d KiB", most-before)
	}
}
