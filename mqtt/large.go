package mqtt

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

// largeTopics is how many topics with messages that are too long are told apart.
const largeTopics = 64

// large keeps count of messages that are too long to be taken. One that is retained comes with
// every connection; where reading past it takes so long that the connection is lost over it, again
// and again, its subscription is left out.
type large struct {
	log    *slog.Logger
	limit  int
	missed *atomic.Uint64

	mu      sync.Mutex
	reading string          // topic of the message that is being read past; empty: none is
	told    map[string]bool // topics
	lost    map[string]int  // connections, by topic
}

// see takes note of a message of length bytes: before it is read past, and after.
func (l *large) see(topic string, length int, past bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !past {
		l.reading = topic
		return
	}
	l.reading = ""
	l.missed.Add(1)
	delete(l.lost, topic)
	if !l.told[topic] && len(l.told) < largeTopics {
		l.told[topic] = true
		l.log.Warn("message passed over: it is too long", "topic", short(topic), "bytes", length, "limit", l.limit,
			"cure", clearing(topic))
	}
}

// ended takes note that a connection has ended.
func (l *large) ended() {
	l.mu.Lock()
	defer l.mu.Unlock()
	topic := l.reading
	if l.reading = ""; topic == "" || l.lost[topic] == 0 && len(l.lost) >= largeTopics {
		return
	}
	if l.lost[topic]++; l.lost[topic] == strikes {
		l.log.Error("every connection is lost over one message: its topic is not listened to any more",
			"topic", short(topic), "cure", clearing(topic)+", then restart")
	}
}

// without is a list of filters but for those that bring the messages over which every connection
// was lost.
func (l *large) without(filters []string) (left []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, filter := range filters {
		bad := false
		for topic, lost := range l.lost {
			bad = bad || lost >= strikes && matches(filter, topic)
		}
		if !bad {
			left = append(left, filter)
		}
	}
	return left
}

// matches reports whether a topic is one of a filter, which has no other wildcard than +.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	if len(f) != len(t) {
		return false
	}
	for i := range f {
		if f[i] != "+" && f[i] != t[i] {
			return false
		}
	}
	return true
}

// clearing is how a retained message is taken from a broker.
func clearing(topic string) string {
	return fmt.Sprintf("clear it: mosquitto_pub -r -n -t %s", short(topic))
}

// short is a topic for people.
func short(topic string) string {
	if len(topic) > 200 {
		topic = topic[:200] + "…"
	}
	return topic
}
