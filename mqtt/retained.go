package mqtt

import (
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// memory is what this device has left with the broker and with its readers, in retained.json of the
// state folder: what no run publishes any more must be taken away by one that knows of it.
type retainedTopics struct {
	Device   string            `json:"device"`
	Model    *ModelInfo        `json:"model,omitempty"`    // that answered last
	Topics   []string          `json:"topics"`             // retained, also those that are being taken away
	Entities map[string]string `json:"entities,omitempty"` // told to Home Assistant: key to platform

	mu        sync.Mutex
	path      string // empty: nothing is remembered
	dirty     bool
	notBefore time.Time
}

// rememberedLimit is the largest file of memory that is read, bytes.
const rememberedLimit = 4 << 20

// recall reads what an earlier run has left. Of another device's topics it wants to know nothing:
// whoever copies a state folder to a second device must not silence the first.
func (m *retainedTopics) recall(dir, device string, log *slog.Logger) {
	if dir != "" {
		m.path = filepath.Join(dir, "retained.json")
		err := atomicfile.ReadSealed(m.path, rememberedLimit, m)
		if err != nil && !os.IsNotExist(err) {
			log.Warn("what an earlier run has left on the broker is not known any more", "error", err)
			m.Device = ""
		}
	}
	if m.Device != device {
		m.Device, m.Model, m.Topics, m.Entities = device, nil, nil, nil
	}
	if m.Entities == nil {
		m.Entities = make(map[string]string)
	}
}

// tidy gives every retained topic that an earlier run has used, and this one does not, an empty
// message, which takes it from the broker; and tells where another model answered then.
func (l *Link) tidy() {
	m := &l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	left := m.Topics
	m.Topics = l.out.retained()
	for _, topic := range left {
		if !slices.Contains(m.Topics, topic) {
			m.Topics = append(m.Topics, topic)
			s := l.out.add(topic, 1, true)
			s.gone = true
			s.set(nil)
		}
	}
	if m.Model != nil && *m.Model != l.id.Model {
		l.tellModel(*m.Model)
	}
	now := l.id.Model
	m.Model, m.dirty = &now, true
}

// retained are the topics that the outbox keeps on the broker.
func (o *outbox) retained() (topics []string) {
	for _, s := range o.states {
		if s.retain {
			topics = append(topics, s.topic)
		}
	}
	return topics
}

// forget is called when the broker has acknowledged that a topic is gone.
func (l *Link) forget(s *state) {
	l.out.mu.Lock()
	s.refused = s.version // never again
	l.out.mu.Unlock()
	m := &l.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Topics = slices.DeleteFunc(m.Topics, func(t string) bool { return t == s.topic })
	if l.discovery == nil && s.topic == l.discoveryTopic() {
		clear(m.Entities)
	}
	m.dirty = true
}

// know replaces what is remembered of the model.
func (m *retainedTopics) know(model ModelInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Model, m.dirty = &model, true
}

// entities remembers those that are announced, and returns those that were and are not: without
// what Home Assistant was told of, it would keep them for ever. They are kept until discovery is
// switched off, as nothing says whether Home Assistant was there to hear of it.
func (m *retainedTopics) entities(now map[string]string) (gone map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	gone = maps.Clone(m.Entities)
	for key, platform := range now {
		delete(gone, key)
		m.dirty = m.dirty || m.Entities[key] != platform
		m.Entities[key] = platform
	}
	return gone
}

// announced reports whether an entity is told to Home Assistant.
func (m *retainedTopics) announced(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.Entities[key] != ""
}

// save writes the file where something has changed; it blocks on the disk. One that fails is tried
// again after a while.
func (m *retainedTopics) save(log *slog.Logger) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" || !m.dirty || time.Now().Before(m.notBefore) {
		return
	}
	err := os.MkdirAll(filepath.Dir(m.path), 0o755)
	if err == nil {
		err = atomicfile.WriteSealed(m.path, 0o644, m)
	}
	if err != nil {
		log.Warn("what is left on the broker cannot be remembered", "error", err)
		m.notBefore = time.Now().Add(30 * time.Second)
	}
	m.dirty = err != nil
}
