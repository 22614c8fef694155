package main

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
)

// wire is a broker that notes when each result's PUBLISH was read from its socket.
type wire struct {
	mochi.HookBase
	server *mochi.Server
	url    string

	mu   sync.Mutex
	late []float64 // from Frame.Time until then, in milliseconds
}

func openWire() (*wire, error) {
	w := &wire{server: mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler), SysTopicResendInterval: 3600})}
	if err := w.server.AddHook(w, nil); err != nil {
		return nil, err
	}
	tcp := listeners.NewTCP(listeners.Config{ID: "wire", Address: "127.0.0.1:0"})
	if err := w.server.AddListener(tcp); err != nil {
		return nil, err
	}
	w.url = "tcp://" + tcp.Address()
	return w, w.server.Serve()
}

func (w *wire) ID() string { return "wire" }

func (w *wire) Provides(method byte) bool {
	return method == mochi.OnPublish || method == mochi.OnConnectAuthenticate || method == mochi.OnACLCheck
}

func (w *wire) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }
func (w *wire) OnACLCheck(*mochi.Client, string, bool) bool              { return true }

func (w *wire) OnPublish(_ *mochi.Client, p packets.Packet) (packets.Packet, error) {
	now := time.Now()
	if !strings.HasSuffix(p.TopicName, "/result") {
		return p, nil
	}
	if frame, ok := stamp(p.Payload); ok {
		w.mu.Lock()
		w.late = append(w.late, float64(now.Sub(frame))/1e6)
		w.mu.Unlock()
	}
	return p, nil
}

// take returns what was noted since the last call.
func (w *wire) take() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	late := w.late
	w.late = nil
	return late
}

// stamp finds "ts", the time of the frame, in a result.
func stamp(payload []byte) (time.Time, bool) {
	_, rest, _ := bytes.Cut(payload, []byte(`"ts":"`))
	text, _, found := bytes.Cut(rest, []byte(`"`))
	t, err := time.Parse(time.RFC3339Nano, string(text))
	return t, found && err == nil
}
