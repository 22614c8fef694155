package mqtt

import (
	"context"
	"fmt"
	"hash/crc32"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	autofile "github.com/eclipse/paho.golang/autopaho/queue/file"
	paho5 "github.com/eclipse/paho.golang/paho"
	session5 "github.com/eclipse/paho.golang/paho/session/state"
	storefile "github.com/eclipse/paho.golang/paho/store/file"
	paho "github.com/eclipse/paho.mqtt.golang"
)

// The small publishers of TestPeers, by the name that helperPeer has in the environment.
const (
	helperPeer = "MQTT_TEST_HELPER_PEER" // which
	helperFrom = "MQTT_TEST_HELPER_FROM" // number of its first record
	helperMany = "MQTT_TEST_HELPER_MANY" // how many; 0: without end

	peerOurs, peerStore, peerQueue = "ours", "paho FileStore", "autopaho file queue"
)

// peerTopic ends like that of our results.
const peerTopic = "vggse/edge01/cam01/result"

// peerPayload is what record n says in the peers: 500 bytes, with a checksum.
func peerPayload(n int) []byte {
	body := fmt.Sprintf(`{"frame_id":%d,"text":"%s"`, n, strings.Repeat("a result like any other ", 18))
	return fmt.Appendf(nil, `%s,"sum":"%08x"}`, body, crc32.ChecksumIEEE([]byte(body)))
}

// publisher accepts records; safe reports up to which of them it promises delivery.
type publisher interface {
	publish(n int) error
	safe(n int) bool
}

// store is paho.mqtt.golang as its documentation sets it up to lose nothing.
type store struct{ paho.Client }

func openStore(brokerURL, dir string) (publisher, error) {
	c := paho.NewClient(paho.NewClientOptions().AddBroker(brokerURL).SetClientID("peer").SetCleanSession(false).
		SetConnectRetry(true).
		SetConnectRetryInterval(100 * time.Millisecond).SetMaxReconnectInterval(100 * time.Millisecond).
		SetResumeSubs(true).
		SetWriteTimeout(5 * time.Second).SetStore(paho.NewFileStore(dir)))
	c.Connect()
	return store{c}, nil
}

func (s store) publish(n int) error {
	token := s.Client.Publish(peerTopic, 1, false, peerPayload(n))
	select {
	case <-token.Done():
		return token.Error()
	default:
		return nil // in the store
	}
}

func (store) safe(int) bool { return true }

// queue is autopaho with its queue and its session in files.
type queue struct{ *autopaho.ConnectionManager }

func openQueue(ctx context.Context, brokerURL, dir string) (publisher, error) {
	address, err := url.Parse(brokerURL)
	if err != nil {
		return nil, err
	}
	session := filepath.Join(dir, "session")
	if err := os.MkdirAll(session, 0o700); err != nil {
		return nil, err
	}
	q, err := autofile.New(dir, "queue", ".msg")
	if err != nil {
		return nil, err
	}
	client, err := storefile.New(session, "client", ".pkt")
	if err != nil {
		return nil, err
	}
	server, err := storefile.New(session, "server", ".pkt")
	if err != nil {
		return nil, err
	}
	c, err := autopaho.NewConnection(ctx, autopaho.ClientConfig{
		ServerUrls: []*url.URL{address}, KeepAlive: 20, SessionExpiryInterval: 3600, Queue: q,
		ReconnectBackoff: func(int) time.Duration { return 100 * time.Millisecond },
		ClientConfig:     paho5.ClientConfig{ClientID: "peer", Session: session5.New(client, server)},
	})
	return queue{c}, err
}

func (q queue) publish(n int) error {
	return q.PublishViaQueue(context.Background(),
		&autopaho.QueuePublish{Publish: &paho5.Publish{QoS: 1, Topic: peerTopic, Payload: peerPayload(n)}})
}

func (queue) safe(int) bool { return true }

// ours is the link. Frame n is record n; its number in the stream is another one.
type ours struct {
	*Link
	seq map[int]uint64
}

func openOurs(ctx context.Context, brokerURL, dir string) (publisher, error) {
	cfg := baseConfig(brokerURL)
	cfg.Publish, cfg.Spool = Policy{Every: true}, SpoolConfig{Dir: dir, Bytes: 64 << 20}
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		return nil, err
	}
	l.retry = 50 * time.Millisecond
	go l.Run(ctx)
	return &ours{l, make(map[int]uint64)}, nil
}

func (o *ours) publish(n int) error {
	d := decision("cam01")
	d.Frame = uint64(n)
	err := o.Link.Publish(context.Background(), d)
	o.seq[n] = o.out.spool.Last()
	return err
}

func (o *ours) safe(n int) bool { return o.out.spool.Safe(o.seq[n]) }

// peer publishes records and tells of each that is accepted, then how many bytes that took of the
// disk, and stays. It is going to be killed.
func peer(kind, brokerURL, dir string) int {
	from, _ := strconv.Atoi(os.Getenv(helperFrom))
	many, _ := strconv.Atoi(os.Getenv(helperMany))
	var p publisher
	var err error
	switch kind {
	case peerStore:
		p, err = openStore(brokerURL, dir)
	case peerQueue:
		p, err = openQueue(context.Background(), brokerURL, dir)
	default:
		p, err = openOurs(context.Background(), brokerURL, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var waiting []int
	for n := from; many == 0 || n < from+many || len(waiting) > 0; n++ {
		if many == 0 || n < from+many {
			if err := p.publish(n); err == nil {
				waiting = append(waiting, n)
			}
		}
		for len(waiting) > 0 && p.safe(waiting[0]) {
			fmt.Println(waiting[0])
			waiting = waiting[1:]
		}
		time.Sleep(time.Millisecond)
	}
	io, _ := os.ReadFile("/proc/self/io")
	if m := regexp.MustCompile(`(?m)^write_bytes: (\d+)`).FindSubmatch(io); m != nil {
		fmt.Printf("wrote %s\n", m[1])
	}
	select {}
}
