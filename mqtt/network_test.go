package mqtt

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// network is a way to a broker that toxiproxy makes bad.
type network struct {
	*toxiproxy.Proxy
	t *testing.T
}

func startNetwork(t *testing.T, to string) *network {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.New(io.Discard))
	n := &network{toxiproxy.NewProxy(server, "way", "127.0.0.1:0", to), t}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

func (n *network) url() string { return "tcp://" + n.Listen }

// add makes the network bad in one more way; toxic is its JSON.
func (n *network) add(toxic string) {
	n.t.Helper()
	if _, err := n.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		n.t.Fatal(err)
	}
}

// Slow, chopped, narrow, resetting and silent networks, one after the other: every record arrives,
// in order, and the link goes on as soon as the network does.
func TestTroubledNetworks(t *testing.T) {
	r, addr := startRecorder(t)
	way := startNetwork(t, addr)
	cfg := testConfig(way.url())
	cfg.Publish, cfg.KeepAlive = Policy{Every: true}, 4*time.Second
	l, _ := runLink(t, cfg, quiet())
	for _, toxic := range []string{
		`{"name": "t", "type": "latency", "attributes": {"latency": 200, "jitter": 150}}`,
		`{"name": "t", "type": "slicer", "attributes": {"average_size": 40, "size_variation": 30, "delay": 500}}`,
		`{"name": "t", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 20}}`,
		`{"name": "t", "type": "reset_peer", "attributes": {"timeout": 300}}`,
		`{"name": "t", "type": "limit_data", "attributes": {"bytes": 3000}}`,
		`{"name": "t", "type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`,
	} {
		way.add(toxic)
		for range 50 {
			l.Publish(context.Background(), decision("cam01"))
			time.Sleep(10 * time.Millisecond)
		}
		if err := way.Toxics.RemoveToxic(context.Background(), "t"); err != nil {
			t.Fatal(err)
		}
		eventually(t, hang, "all arrived after "+toxic,
			func() bool { return l.Connected() && l.Waiting() == 0 })
	}
	next := uint64(1)
	for _, a := range r.arrivals() {
		if a.seq == next {
			next++
		} else if a.seq > next {
			t.Fatalf("%d came, %d did not", a.seq, next)
		}
	}
	if next != 301 {
		t.Errorf("%d records came, want 300", next-1)
	}
}

// A peer that is silent, without a word of TCP, is found; make soak asks that it is within the time
// that mqtt.keep_alive promises.
func TestDeadPeer(t *testing.T) {
	for _, c := range []struct{ keepAlive, within time.Duration }{{20 * time.Second, 40 * time.Second},
		{6 * time.Second, 15 * time.Second}} {
		t.Run(fmt.Sprint(c.keepAlive), func(t *testing.T) {
			t.Parallel()
			_, addr := startRecorder(t)
			way := startNetwork(t, addr)
			cfg := testConfig(way.url())
			cfg.KeepAlive = c.keepAlive
			l, _ := runLink(t, cfg, quiet())
			eventually(t, hang, "connected", l.Connected)
			way.add(`{"name": "u", "type": "timeout", "stream": "upstream", "attributes": {"timeout": 0}}`)
			way.add(`{"name": "d", "type": "timeout", "stream": "downstream", "attributes": {"timeout": 0}}`)
			since := time.Now()
			eventually(t, hang, "dead peer found", func() bool { return !l.Connected() })
			if took := time.Since(since); took > c.within && *whole {
				t.Errorf("found after %s, want %s", took, c.within)
			} else {
				t.Logf("keep_alive %s: found after %s", c.keepAlive, took.Round(100*time.Millisecond))
			}
		})
	}
}
