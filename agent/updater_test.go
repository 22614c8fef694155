package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/configs"
	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/release"
)

// TestUpdater: the service pulls the highest release that a trusted key signed, activates it once,
// and leaves everything as it is where there is none, no key, or nothing new.
func TestUpdater(t *testing.T) {
	from, trust, keys := t.TempDir(), t.TempDir(), t.TempDir()
	var said bytes.Buffer
	var activated []string
	refuse := errors.New("verify missed its gate")
	var answer error
	var told []mqtt.Update
	u := &updater{log: slog.New(slog.NewTextHandler(&said, nil)), version: "v1.0.0",
		config: &configs.Config{StateDir: t.TempDir(),
			Model:  configs.Model{Trust: trust, RequireSignature: release.RequireAuto, Precision: "auto"},
			Update: release.Config{From: from, Name: "parts", Every: time.Hour, Activate: true}},
		tell: func(now mqtt.Update) { told = append(told, now) },
		activate: func(_ context.Context, sum string) (func(), error) {
			activated = append(activated, sum)
			return nil, answer
		}}
	step := func(what, want string, installed, asked int) {
		t.Helper()
		err := u.once(t.Context())
		u.outcome(t.Context(), err)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		all, err := store.At(u.config.StateDir).List()
		if err != nil || len(all) != installed || len(activated) != asked {
			t.Errorf("%s: %d installed, %d activated, want %d and %d; %v", what, len(all), len(activated),
				installed, asked, err)
		}
	}
	step("nothing there", "no such file", 0, 0)
	if _, err := release.NewKey(filepath.Join(keys, "k"), ""); err != nil {
		t.Fatal(err)
	}
	k, err := release.OpenSecretKey(filepath.Join(keys, "k.key"), "")
	if err != nil {
		t.Fatal(err)
	}
	m, err := release.NewImage(t.Context(), "../demo/bundle", nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.Sign(m, release.SignOptions{Release: 2}, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := release.Push(t.Context(), m, s, release.Place{Path: filepath.Join(from, "parts")}); err != nil {
		t.Fatal(err)
	}
	step("no key", "takes only what a trusted key signed", 0, 0)
	if err := os.WriteFile(filepath.Join(trust, "k.pub"), k.Public.Text(), 0o644); err != nil {
		t.Fatal(err)
	}
	answer = refuse
	step("new, and refused", refuse.Error(), 1, 1)
	answer = nil
	step("what was refused is not tried again", "", 1, 1)
	last := told[len(told)-1]
	if last.Of < 4<<20 || last != (mqtt.Update{State: mqtt.UpdateIdle, Name: "parts", Release: 2, Bytes: last.Bytes,
		Of: last.Of}) {
		t.Errorf("told at last: %+v", last)
	}
	var states []string
	for _, now := range told {
		states = append(states, now.State)
	}
	if got := slices.Compact(states); !slices.Equal(got, []string{"failed", "pulling", "checking", "failed", "idle"}) {
		t.Errorf("told: %v", got)
	}
	u.window24(t, k, from)
	if !strings.Contains(said.String(), "release installed") || !strings.Contains(said.String(), "release=2") {
		t.Errorf("the log has:\n%s", &said)
	}
}

// window24 publishes a release while update.window is closed: it is installed, waits, and is activated
// in the window, by the next process if need be.
func (u *updater) window24(t *testing.T, k *release.SecretKey, from string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(demoBundle)); err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	b.Spec.Version = "another"
	if err := bundle.WriteSpec(dir, &b.Spec); err != nil {
		t.Fatal(err)
	}
	m, err := release.NewImage(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := release.Sign(m, release.SignOptions{Release: 3}, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := release.Push(t.Context(), m, s, release.Place{Path: filepath.Join(from, "parts")}); err != nil {
		t.Fatal(err)
	}
	var asked []string
	u.activate = func(_ context.Context, sum string) (func(), error) { asked = append(asked, sum); return nil, nil }
	now := time.Now()
	u.config.Update.Window = now.Add(2*time.Hour).Format("15:04") + "-" + now.Add(3*time.Hour).Format("15:04")
	ctx, cancel := context.WithCancel(t.Context())
	told := make(chan mqtt.Update, 100)
	u.tell = func(now mqtt.Update) { told <- now }
	done := make(chan error, 1)
	go func() { done <- u.once(ctx) }()
	for now := range told {
		if now.State == mqtt.UpdateWaiting && strings.HasPrefix(now.Reason, "for update.window, ") {
			break
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || len(asked) != 0 {
		t.Errorf("outside the window: %v, activated %v", err, asked)
	}
	u.config.Update.Window = now.Add(-time.Hour).Format("15:04") + "-" + now.Add(3*time.Hour).Format("15:04")
	if err := u.once(t.Context()); err != nil || len(asked) != 1 || asked[0] != s.Statement.Bundle {
		t.Errorf("in the window: %v, activated %v, want %.12s", err, asked, s.Statement.Bundle)
	}
}
