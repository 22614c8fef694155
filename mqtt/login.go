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
// retained message at <prefix>/<device>/doctor, of which nothing stays, and goes: a broker may drop
// without a word what its access rules forbid. The client has a name of its own, for that of the device would
// end the agent's connection.
func Login(ctx context.Context, c Config, device string) error {
	u, err := ParseBroker(c.Broker)
	if err != nil {
		return err
	}
	topic := c.TopicPrefix + "/" + device + "/doctor"
	o := &opening{cfg: &c, broker: u, clientID: fmt.Sprintf("vggse-doctor-%d", os.Getpid()), limit: 1 << 16, inbox: 1,
		missed: new(atomic.Uint64), will: &will{topic, ""}} // some brokers take none, and hang up
	s, err := open(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	for i, step := range []func() ack{
		func() ack { return s.subscribe(topic) },
		func() ack { return s.publish(topic, 1, true, nil) },
	} {
		done := step()
		select {
		case <-done.Done():
			if err := done.Error(); err != nil {
				return err
			}
		case err := <-s.lost:
			return fmt.Errorf("the broker hung up: may this user write and read %s? %w", topic, err)
		case <-ctx.Done():
			return complete{fmt.Errorf("%s (no answer to a %s): %s", silent, []string{"subscription", "message"}[i],
				silentCure)}
		}
	}
	select {
	case <-s.inbound:
		return nil
	case err := <-s.lost:
		return fmt.Errorf("the broker hung up: may this user write and read %s? %w", topic, err)
	case <-time.After(echoLimit):
		return fmt.Errorf("a message at %s does not come back: may this user write and read it?", topic)
	case <-ctx.Done():
		return ctx.Err()
	}
}

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
