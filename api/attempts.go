package api

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// attempts bounds how often an address may show a wrong token.
type attempts struct {
	most  float64 // at once
	every time.Duration

	mu   sync.Mutex
	from map[netip.Prefix]*tries
}

// tries are those of one address that are left, refilled one by one.
type tries struct {
	left   float64
	filled time.Time
}

// mostAddresses are remembered at once; beyond that the ones with all tries left are forgotten.
const mostAddresses = 4096

func newAttempts(most int, every time.Duration) *attempts {
	return &attempts{most: float64(most), every: every, from: make(map[netip.Prefix]*tries)}
}

// of is the entry of a client, made where there is none: an IPv4 address, or the 64 bits of an IPv6
// network.
func (a *attempts) of(remote string, now time.Time) *tries {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, _ := netip.ParseAddr(host) // an address that is none is one for itself
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	prefix, _ := ip.Prefix(bits)
	t := a.from[prefix]
	if t == nil {
		if len(a.from) >= mostAddresses {
			a.forget(now)
		}
		t = &tries{left: a.most, filled: now}
		a.from[prefix] = t
	}
	t.left = min(a.most, t.left+float64(now.Sub(t.filled))/float64(a.every))
	t.filled = now
	return t
}

func (a *attempts) forget(now time.Time) {
	for p, t := range a.from {
		if t.left+float64(now.Sub(t.filled))/float64(a.every) >= a.most {
			delete(a.from, p)
		}
	}
	if len(a.from) >= mostAddresses {
		clear(a.from) // so many guess at once that nobody is told from another
	}
}

// may reports whether a client may show a token now that could have been guessed, right or wrong.
func (a *attempts) may(remote string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of(remote, now).left >= 1
}

// failed counts a wrong one.
func (a *attempts) failed(remote string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of(remote, now).left--
}
