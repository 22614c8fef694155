package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// updater pulls the highest release of one name now and then, beside the model that runs. What it
// finds wrong or away is told once, and tried again at the next time.
type updater struct {
	config   *configs.Config
	version  string
	activate func(ctx context.Context, sum string) (then func(), err error)
	tell     func(mqtt.Update) // on the update topic
	log      *slog.Logger
	told     string // the last error, and so not told again
	state    mqtt.Update
	fleet    wishes // what the groups of the device shall run
	// running is the digest of the installed bundle that answers; empty: none does.
	running func() string
}

// updatePatience is how long one pull waits for a place that went away in the middle.
const updatePatience = 24 * time.Hour

// run pulls until ctx ends; at once where nothing is configured. A device of a fleet takes what that
// wants instead of the highest release.
func (u *updater) run(ctx context.Context) {
	if len(u.config.Device.Groups) > 0 {
		u.follow(ctx)
		return
	}
	every := u.config.Update.Every
	if every <= 0 {
		return
	}
	wait := rand.N(min(every, time.Minute))
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		u.outcome(ctx, u.once(ctx))
		wait = every - every/10 + rand.N(every/5+1)
	}
}

// outcome tells how a look for a release ended.
func (u *updater) outcome(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err == nil:
		u.told, u.state.State, u.state.Reason = "", mqtt.UpdateIdle, ""
		u.tell(u.state)
	case u.told != err.Error():
		u.told, u.state.State, u.state.Reason = err.Error(), mqtt.UpdateFailed, err.Error()
		u.tell(u.state)
		u.log.Warn("no release was taken, the model that runs goes on", "error", err)
	}
}

// once looks for a release, and takes one that is new.
func (u *updater) once(ctx context.Context) error {
	c := &u.config.Update
	place, err := release.ParsePlace(c.Name, c.From, c.Login)
	if err != nil {
		return err
	}
	r, err := release.Open(ctx, place, u.config.Gate(u.version), release.Wanted{Name: c.Name})
	if err != nil {
		return err
	}
	defer r.Close()
	if r.Signer == nil {
		return errors.New("update.every takes only what a trusted key signed: put the publisher's .pub file into " +
			u.config.Model.Trust)
	}
	u.state.Name, u.state.Release = r.Statement.Name, r.Statement.Release
	models := store.At(u.config.StateDir)
	switch refused, hand, ok := models.SetAside(r.Statement.Bundle); {
	case hand:
		return nil
	case ok:
		return setAsideError(refused)
	}
	if _, err := models.Find(r.Statement.Bundle); err == nil {
		if models.Awaits(r.Statement.Bundle) {
			return u.use(ctx, r.Statement.Bundle)
		}
		return nil // taken before: what became of it then stays
	}
	return u.pull(ctx, r)
}

// pull fetches an open release, installs it and, where the settings say so, activates it.
func (u *updater) pull(ctx context.Context, r *release.Release) error {
	c := &u.config.Update
	for _, note := range r.Notes {
		u.log.Warn("release", "note", note)
	}
	u.log.Info("pulling a release", "name", r.Statement.Name, "release", r.Statement.Release, "digest", r.Digest(),
		"signed_by", r.SignedBy())
	done, err := r.Pull(ctx, release.PullOptions{Store: store.At(u.config.StateDir), Rate: c.Rate,
		Patience: updatePatience, Keep: u.config.FilesUsed, Tell: u.tells(), Beside: true})
	if err != nil {
		return err
	}
	u.log.Info("release installed", "name", r.Statement.Name, "release", r.Statement.Release, "bundle", done.SHA256,
		"fetched_bytes", done.Fetched, "reused_bytes", done.Reused, "absent", done.Absent)
	return u.use(ctx, done.SHA256)
}

// tellEvery is how often a pull under way is told.
const tellEvery = 5 * time.Second

// tells passes on how far a pull is: changes of its state at once, bytes now and then. The log has
// the first time that it waits.
func (u *updater) tells() func(release.Progress) {
	var last time.Time
	waited := false
	return func(p release.Progress) { // one call at a time
		reason := ""
		if p.Waiting != nil {
			reason = p.Waiting.Error()
		}
		if p.Waiting != nil && !waited {
			waited = true
			u.log.Warn("the pull waits", "error", p.Waiting, "bytes", p.Bytes, "of", p.Of)
		}
		if u.state.State == p.State && time.Since(last) < tellEvery {
			return
		}
		last = time.Now()
		u.state.State, u.state.Bytes, u.state.Of, u.state.Reason = p.State, p.Bytes, p.Of, reason
		u.tell(u.state)
	}
}

// use activates what was installed, where the settings or a fleet say so; from there on it is on
// trial, as every new model.
func (u *updater) use(ctx context.Context, sum string) error {
	if !u.config.Update.Activate && len(u.config.Device.Groups) == 0 {
		return nil
	}
	if err := u.window(ctx, sum); err != nil {
		return err
	}
	then, err := u.activate(ctx, sum)
	if err != nil {
		return fmt.Errorf("installed and not activated: %w", err)
	}
	if then != nil {
		then()
	}
	return nil
}

// windowLook is how often the clock is asked: somebody may set it.
const windowLook = time.Minute

// window waits until update.window is open; what waits is remembered.
func (u *updater) window(ctx context.Context, sum string) error {
	for first := true; ; first = false {
		wait := u.config.Update.Opens(time.Now())
		if wait == 0 {
			return nil
		}
		if first {
			if err := store.At(u.config.StateDir).Await(sum); err != nil {
				return err
			}
			u.says(mqtt.UpdateWaiting, "for update.window, "+u.config.Update.Window)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(wait, windowLook)):
		}
	}
}
