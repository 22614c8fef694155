package agent

import (
	"errors"
	"sync"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
)

// updateState is what the update topic says: of the pull of a release, and of the trial of a model.
type updateState struct {
	tell func(mqtt.Update)

	mu    sync.Mutex
	pull  mqtt.Update
	trial *mqtt.Update // nil: none is on trial, nor was refused since the last pull
}

func newUpdateState(tell func(mqtt.Update)) *updateState {
	return &updateState{tell: tell, pull: mqtt.Update{State: mqtt.UpdateIdle}}
}

// pulls tells how far a pull is. A trial stands before a pull that rests.
func (u *updateState) pulls(now mqtt.Update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.pull = now
	busy := now.State != mqtt.UpdateIdle && now.State != mqtt.UpdateFailed
	if busy && u.trial != nil && u.trial.State == mqtt.UpdateFailed {
		u.trial = nil
	}
	if u.trial == nil || busy {
		u.tell(now)
	}
}

// tries tells how far the trial of a model is.
func (u *updateState) tries(now mqtt.Update) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trial = &now
	u.tell(now)
}

// failed tells that a model was refused.
func (u *updateState) failed(r mqtt.Release, bundleDir string, why error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := mqtt.Update{}
	if u.trial != nil {
		now = *u.trial
	}
	if now.Trial.SHA256 != bundleDir {
		now = mqtt.Update{} // of another model
	}
	now.Name, now.Release, now.State = r.Name, r.Number, mqtt.UpdateFailed
	now.Reason = "model " + bundleDir[:min(12, len(bundleDir))] + " was refused: " + why.Error()
	u.trial = &now
	u.tell(now)
}

// refusedBefore tells of models that were refused at this start, or before it, each with its reason.
func (u *updateState) refusedBefore(c configs.Config, all map[string]string) {
	for sum, reason := range all {
		if i, err := store.At(c.StateDir).Find(sum); err == nil {
			c.Model.Bundle = i.Dir
		}
		u.failed(releaseOf(&c), sum, errors.New(reason))
	}
}

// over tells that a trial has ended well.
func (u *updateState) over() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.trial = nil
	u.tell(u.pull)
}
