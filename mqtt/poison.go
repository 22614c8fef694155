package mqtt

// strikes is how many connections are lost over the same message until messages are sent one by
// one, and then until it is given up.
const strikes = 3

// poisonGuard watches for a message that makes the broker end the connection: too large, or not
// allowed (MQTT 3.1.1, 3.3.5: a broker has no other way to refuse it). Sent first again and again,
// it would keep everything behind it from ever arriving.
type poisonGuard struct {
	state *state
	seq   uint64
	count int // connections lost over it
	alone int // messages that are still sent one by one
}

// lost takes note that a connection was lost when p was its oldest message without acknowledgement,
// and reports whether to give it up.
func (s *poisonGuard) lost(p *publication) bool {
	if p.state != s.state || p.seq != s.seq {
		s.state, s.seq, s.count = p.state, p.seq, 0
	}
	s.count++
	if s.count < strikes {
		return false
	}
	out := s.alone > 0
	s.count, s.alone = 0, window
	return out
}

// landed takes note that a message was acknowledged. States do not count for the return to a full
// window: they come again with every connection.
func (s *poisonGuard) landed(p *publication) {
	if p.state == s.state && p.seq == s.seq {
		s.count = 0
	}
	if p.state == nil {
		s.alone = max(0, s.alone-1)
	}
}

// window is how many messages may be under way.
func (s *poisonGuard) window() int {
	if s.alone > 0 {
		return 1
	}
	return window
}
