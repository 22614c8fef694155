package mqtt

import (
	"cmp"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/vggse/vggse-agent/vision"
)

// TellFailure says for a device that cannot begin its work why: it connects once, publishes the
// health with the one part that failed, that no camera is online and no label holds, and "stopped",
// all retained, and goes when the broker has acknowledged them or ctx ends. What waits in a spool
// stays there.
func TellFailure(ctx context.Context, c Config, id Identity, part, reason string) error {
	broker, err := ParseBroker(c.Broker)
	if err == nil {
		err = id.validate()
	}
	if err != nil {
		return fmt.Errorf("mqtt: %w", err)
	}
	o := &opening{cfg: &c, broker: broker, clientID: cmp.Or(c.ClientID, "vggse-"+id.Device), limit: inboxLimit,
		inbox: 1, missed: new(atomic.Uint64)}
	s, err := open(ctx, o)
	if err != nil {
		return fmt.Errorf("mqtt: %s", c.reason(err))
	}
	defer s.close()
	topics := newTopics(c.TopicPrefix, id.Device)
	health := healthOf(id.Device, map[string]Condition{
		part: {Failed, reason}, "cameras": {Degraded, "none is opened"}, "queue": {Status: OK}})
	acks := []ack{s.publish(topics.health, 1, true, health)}
	for _, camera := range id.Cameras {
		at := topics.base + camera + "/"
		acks = append(acks, s.publish(at+"status", 1, true, []byte(CameraOffline)),
			s.publish(at+"classification", 1, true, []byte(cmp.Or(id.Unknown, vision.Unknown))))
	}
	acks = append(acks, s.publish(topics.available, 1, true, []byte(Stopped)))
	return s.acknowledged(ctx, acks)
}

// acknowledged waits for all of acks.
func (s *session) acknowledged(ctx context.Context, acks []ack) error {
	for _, a := range acks {
		select {
		case <-a.Done():
			if err := a.Error(); err != nil {
				return fmt.Errorf("mqtt: %w", err)
			}
		case err := <-s.lost:
			return fmt.Errorf("mqtt: the broker hung up: %s", plain(err))
		case <-ctx.Done():
			return fmt.Errorf("mqtt: %w", errSilent)
		}
	}
	return nil
}
