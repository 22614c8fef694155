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
	"github.com/vggse/vggse-agent/release"
)

// updater pulls the highest release of one name now and then, beside the model that runs. What it
// finds wrong or away is told once, and tried again at the next time.
type updater struct {
	config   *configs.Config
	version  string
	activate func(ctx context.Context, sum string) (then func(), err error)
	log      *slog.Logger
	told     string // the last error, and so not told again
}

// updatePatience is how long one pull waits for a place that went away in the middle.
const updatePatience = 24 * time.Hour

// run pulls until ctx ends; at once where nothing is configured.
func (u *updater) run(ctx context.Context) {
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
		if err := u.once(ctx); err == nil {
			u.told = ""
		} else if ctx.Err() == nil && u.told != err.Error() {
			u.told = err.Error()
			u.log.Warn("no release was taken, the model that runs goes on", "error", err)
		}
		wait = every - every/10 + rand.N(every/5+1)
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
	models := store.At(u.config.StateDir)
	if _, err := models.Find(r.Statement.Bundle); err == nil {
		return nil // taken before: what became of it then stays
	}
	for _, note := range r.Notes {
		u.log.Warn("release", "note", note)
	}
	u.log.Info("pulling a release", "name", r.Statement.Name, "release", r.Statement.Release, "digest", r.Digest(),
		"signed_by", r.SignedBy())
	done, err := r.Pull(ctx, release.PullOptions{Store: models, Rate: c.Rate, Patience: updatePatience,
		Keep: release.KeepPrecision(u.config.Model.Precision), Tell: u.tellWaiting()})
	if err != nil {
		return err
	}
	u.log.Info("release installed", "name", r.Statement.Name, "release", r.Statement.Release, "bundle", done.SHA256,
		"fetched_bytes", done.Fetched, "reused_bytes", done.Reused, "absent", done.Absent)
	return u.use(ctx, done.SHA256)
}

// tellWaiting logs when a pull begins to wait for its place.
func (u *updater) tellWaiting() func(release.Progress) {
	waits := make(chan struct{}, 1) // once a pull
	return func(p release.Progress) {
		if p.Waiting == nil {
			return
		}
		select {
		case waits <- struct{}{}:
			u.log.Warn("the pull waits", "error", p.Waiting, "bytes", p.Bytes, "of", p.Of)
		default:
		}
	}
}

// use activates what was installed, where the settings say so; from there on it is on trial, as
// every new model.
func (u *updater) use(ctx context.Context, sum string) error {
	if !u.config.Update.Activate {
		return nil
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
