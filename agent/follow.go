package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/fleet"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// How often a device of a fleet looks whether it runs what it shall.
const (
	followEvery   = time.Minute            // where nothing is to be done
	followSoon    = 500 * time.Millisecond // while a model is being exchanged
	followAgain   = 30 * time.Second       // where a registry is away, and up to twice as long
	errOtherName  = "the fleet wants %s, and update.name lets this device take %s alone"
	errOtherThing = "release %d of %s is bundle %.12s, the fleet names %.12s: ask who rolled it out"
)

// wishes are what the groups of a device shall run.
type wishes struct {
	mu      sync.Mutex
	byTopic map[string]*fleet.Desired
	changed chan struct{} // capacity 1
}

// listen makes the link hear what the groups of the device shall run.
func (u *updater) listen(link *mqtt.Link) {
	u.fleet.byTopic, u.fleet.changed = make(map[string]*fleet.Desired), make(chan struct{}, 1)
	if len(u.config.Device.Groups) > 0 {
		link.Listen(u.groupTopics(), u.hear)
	}
}

func (u *updater) groupTopics() (topics []string) {
	for _, group := range u.config.Device.Groups {
		topics = append(topics, fleet.TopicsOf(u.config.MQTT.TopicPrefix, group).Model)
	}
	return topics
}

// hear takes the desired state of a group. What cannot be read changes nothing.
func (u *updater) hear(m mqtt.Message) {
	var d *fleet.Desired
	if len(m.Payload) > 0 {
		var err error
		if d, err = fleet.ParseDesired(m.Payload); err != nil {
			u.log.Warn("what the fleet wants cannot be read, nothing changes", "topic", m.Topic, "error", err)
			return
		}
	}
	w := &u.fleet
	w.mu.Lock()
	w.byTopic[m.Topic] = d
	w.mu.Unlock()
	w.ring()
}

func (w *wishes) ring() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// wanted is what the first group says that says anything; nil: none does.
func (u *updater) wanted() *fleet.Desired {
	u.fleet.mu.Lock()
	defer u.fleet.mu.Unlock()
	for _, topic := range u.groupTopics() {
		if d := u.fleet.byTopic[topic]; d != nil {
			return d
		}
	}
	return nil
}

// follow makes the device run what its groups want until ctx ends.
func (u *updater) follow(ctx context.Context) {
	failed := "" // the rollout that was tried and did not succeed: it is not tried again
	for {
		again := followEvery
		if d := u.wanted(); d != nil && d.ID != failed {
			var err error
			if again, err = u.approach(ctx, d); err != nil && ctx.Err() == nil {
				again, failed = followEvery, d.ID
				u.outcome(ctx, err)
			}
		}
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
		case <-u.fleet.changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// approach does the next step to what the fleet wants, and says when to look again. Its error is that
// this is not to be had.
func (u *updater) approach(ctx context.Context, d *fleet.Desired) (again time.Duration, err error) {
	if u.running() == d.Digest {
		u.state = mqtt.Update{Name: d.Name, Release: d.Release, Bytes: u.state.Bytes, Of: u.state.Of}
		u.outcome(ctx, nil)
		return followEvery, nil
	}
	id := u.config.Device.ID
	if !d.Asks(id) {
		if u.state.State == mqtt.UpdateWaiting {
			u.outcome(ctx, nil)
		}
		return followEvery, nil
	}
	if u.state.Name != d.Name || u.state.Release != d.Release {
		u.state = mqtt.Update{Name: d.Name, Release: d.Release}
	}
	models := store.At(u.config.StateDir)
	if r, _, aside := models.SetAside(d.Digest); aside {
		return 0, setAsideError(r)
	}
	if active, ok, err := models.Active(); err == nil && ok && active.SHA256 == d.Digest {
		u.says(mqtt.UpdateChecking, "")
		return followSoon, nil // it is being opened
	}
	if turn := d.Wait(id, time.Now()); turn > 0 {
		u.says(mqtt.UpdateWaiting, "for its turn in the fleet")
		return turn, nil
	}
	switch err := u.reach(ctx, d); {
	case release.IsAway(err):
		u.says(mqtt.UpdateWaiting, err.Error())
		return followAgain + rand.N(followAgain), nil
	case err != nil:
		return 0, err
	}
	return 0, nil
}

// says tells a state that is news.
func (u *updater) says(state, reason string) {
	if u.state.State != state || u.state.Reason != reason {
		u.state.State, u.state.Reason = state, reason
		u.tell(u.state)
	}
}

// reach takes the release that the fleet wants, unless it wants another one meanwhile.
func (u *updater) reach(ctx context.Context, d *fleet.Desired) error {
	within, cancel := context.WithCancel(ctx)
	defer cancel()
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	watching.Go(func() {
		defer u.fleet.ring() // whoever waits next has to look
		for {
			select {
			case <-within.Done():
				return
			case <-u.fleet.changed:
			}
			if now := u.wanted(); now == nil || now.Digest != d.Digest {
				cancel()
				return
			}
		}
	})
	err := u.fetch(within, d)
	if within.Err() != nil && ctx.Err() == nil {
		return nil // it wants another one
	}
	return err
}

// fetch installs what is wanted, where it is not, and activates it.
func (u *updater) fetch(ctx context.Context, d *fleet.Desired) error {
	c := &u.config.Update
	if c.Name != "" && c.Name != d.Name {
		return fmt.Errorf(errOtherName, d.Target, c.Name)
	}
	if i, err := store.At(u.config.StateDir).Find(d.Digest); err == nil {
		return u.use(ctx, i.SHA256) // taken before: to go back to it is no downgrade
	}
	place, err := release.ParsePlace(d.Target.String(), c.From, c.Login)
	if err != nil {
		return err
	}
	r, err := release.Open(ctx, place, u.config.Gate(u.version), release.Wanted{Name: d.Name, Release: d.Release})
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Signer == nil {
		return errors.New("a fleet's device takes only what a trusted key signed: put the publisher's .pub file into " +
			u.config.Model.Trust)
	}
	if r.Statement.Bundle != d.Digest {
		return fmt.Errorf(errOtherThing, d.Release, d.Name, r.Statement.Bundle, d.Digest)
	}
	return u.pull(ctx, r)
}
