package mqtt

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// echoLimit is how long a message to oneself may take.
const echoLimit = 3 * time.Second

// Login connects once with the settings' own files, user and password, sends itself an empty
// retained message at <prefix>/<device>/doctor, of which nothing stays, and one as long as a result, and goes: a
// broker may drop
// without a word what its access rules forbid. The client has a name of its own, for that of the device would
// end the agent's connection.
func Login(ctx context.Context, c Config, device string) error {
	u, err := ParseBroker(c.Broker)
	if err != nil {
		return err
	}
	topic := c.TopicPrefix + "/" + device + "/doctor"
	o := &opening{cfg: &c, broker: u, clientID: fmt.Sprintf("vggse-doctor-%d", os.Getpid()), limit: 1 << 16, inbox: 2,
		missed: new(atomic.Uint64), will: &will{topic, ""}} // some brokers take none, and hang up
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	for i, step := range []func() ack{
		func() ack { return s.subscribe(topic) },
		func() ack { return s.publish(topic, 1, true, nil) },
		func() ack { return s.publish(topic, 1, false, make([]byte, usualLength)) },
	} {
		done := step()
		select {
		case <-done.Done():
			if err := done.Error(); lostMeanwhile(err) {
				return s.hungUp(topic, i == 2, <-s.lost)
			} else if err != nil {
				return err
			}
		case err := <-s.lost:
			return s.hungUp(topic, i == 2, err)
		case <-ctx.Done():
			return complete{fmt.Errorf("%s (no answer to a %s): %s", silent,
				[]string{"subscription", "message", "message"}[i], silentCure)}
		}
	}
	late := time.After(echoLimit)
	for short := false; ; {
		select {
		case m := <-s.inbound:
			if len(m.Payload) > 0 {
				return nil
			}
			short = true
		case err := <-s.lost:
			return s.hungUp(topic, short, err)
		case <-late:
			if short {
				return complete{fmt.Errorf("a message of %d bytes at %s does not come back, as an empty one does: the "+
					"broker drops what is as long as results are (of Mosquitto: message_size_limit): allow longer "+
					"ones there", usualLength,
					topic)}
			}
			return fmt.Errorf("a message at %s does not come back: may this user write and read it?", topic)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hungUp is the error of a broker that ends the connection over a message; long is whether over the long one.
func (s *session) hungUp(topic string, long bool, err error) error {
	if long {
		return complete{fmt.Errorf("the broker hangs up at a message of %d bytes, which is as long as results are, "+
			"and takes an empty one (%w): allow longer ones there (of Mosquitto: message_size_limit, "+
			"max_packet_size), and see its access rules for %s", usualLength, err, topic)}
	}
	return fmt.Errorf("the broker hung up: may this user write and read %s? %w", topic, err)
}

// usualLength is that of a longer result, bytes.
const usualLength = 1000

// CheckFiles returns what is wrong with the files that the settings name; nil: they can be used.
func (c *Config) CheckFiles() error {
	u, err := ParseBroker(c.Broker)
	if err != nil || u.Scheme == Embedded {
		return err
	}
	if u.Scheme == "ssl" || u.Scheme == "wss" {
		if _, err := c.TLS.load(u.Hostname()); err != nil {
			return err
		}
	}
	_, err = c.password()
	return err
}
