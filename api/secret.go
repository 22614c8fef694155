package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"os"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/internal/pemfile"
)

// secret is the token of a file, read again when the file changes.
type secret struct {
	key, path string // of the setting; path empty: there is no such token

	mu   sync.Mutex // guards what follows
	sum  [sha256.Size]byte
	seen fileState
}

// fileState tells that a file is another than before.
type fileState struct {
	time time.Time
	size int64
}

func stateOf(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info.ModTime(), info.Size()}
}

// newSecret reads the file, and says what is wrong with it.
func newSecret(key, path string) (*secret, error) {
	s := &secret{key: key, path: path, seen: stateOf(path)}
	token, err := readToken(key, path)
	s.sum = sha256.Sum256([]byte(token))
	return s, err
}

// set reports whether there is such a token.
func (s *secret) set() bool { return s.path != "" }

// now is the hash of the token. A file that cannot be used any more leaves the token that was.
func (s *secret) now() [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state := stateOf(s.path); state != s.seen {
		if token, err := readToken(s.key, s.path); err == nil {
			s.sum, s.seen = sha256.Sum256([]byte(token)), state
		}
	}
	return s.sum
}

// is compares in a time that says nothing about where the texts differ, nor how long they are.
func (s *secret) is(token string) bool {
	if !s.set() {
		return false
	}
	want, got := s.now(), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// certificate is the server's, read again when its files change.
type certificate struct {
	TLS
	mu   sync.Mutex // guards what follows
	pair *tls.Certificate
	seen [2]fileState
}

func newCertificate(t TLS) (*certificate, error) {
	c := &certificate{TLS: t}
	pair, err := t.load()
	if err != nil {
		return nil, err
	}
	c.pair, c.seen = pair, c.state()
	return c, nil
}

// load reads certificate and key.
func (t TLS) load() (*tls.Certificate, error) {
	pair, err := pemfile.Pair(t.Cert, t.Key, [2]string{"http.tls.cert", "http.tls.key"})
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func (c *certificate) state() [2]fileState { return [2]fileState{stateOf(c.Cert), stateOf(c.Key)} }

// get is what a handshake shows. Files that do not belong together yet, while they are renewed,
// leave the certificate that was.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.state(); now != c.seen {
		if pair, err := c.load(); err == nil {
			c.pair, c.seen = pair, now
		}
	}
	return c.pair, nil
}
