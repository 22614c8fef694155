package mqtt

import (
	"fmt"
	"time"
)

const (
	certificateCheck = time.Hour           // between two looks at its end
	certificateSoon  = 14 * 24 * time.Hour // before its end, that somebody should renew it
)

// certificateCondition is that of the client certificate in the files t; ok is false where there is
// none.
func certificateCondition(t *TLS, now time.Time) (c Condition, ok bool) {
	if t.Cert == "" {
		return c, false
	}
	pair, err := t.pair()
	switch {
	case err != nil:
		return Condition{Degraded, err.Error()}, true
	case now.After(pair.Leaf.NotAfter):
		return Condition{Failed, fmt.Sprintf("mqtt.tls.cert: %s ended on %s: renew it", t.Cert,
			day(pair.Leaf.NotAfter))}, true
	case now.After(pair.Leaf.NotAfter.Add(-certificateSoon)):
		return Condition{Degraded, fmt.Sprintf("mqtt.tls.cert: %s ends on %s: renew it", t.Cert,
			day(pair.Leaf.NotAfter))}, true
	}
	return Condition{Status: OK}, true
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// checkCertificate looks at the client certificate, where it is time to, and tells what has
// changed.
func (l *Link) checkCertificate(now time.Time) {
	if now.Before(l.certificate) {
		return
	}
	l.certificate = now.Add(certificateCheck)
	c, ok := certificateCondition(&l.cfg.TLS, now)
	if !ok {
		return
	}
	if l.health.set("certificate", c) && c.Status != OK {
		l.log.Warn("client certificate", "reason", c.Reason)
	}
	l.checkHealth()
}
