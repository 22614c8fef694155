package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/bundle"
)

// TestReleaseVerbs carries a release from the publisher to a device: pictures stay unless both sign
// and push let them go, what is not signed by a trusted key is neither installed nor activated, and
// status says who signed.
func TestReleaseVerbs(t *testing.T) {
	work, state := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(work, name) }
	if err := os.CopyFS(at("parts"), os.DirFS(demoBundleDir(t))); err != nil {
		t.Fatal(err)
	}
	agent := func(want int, says string, args ...string) releaseLine {
		t.Helper()
		code, stdout, stderr := agentCmd(t, append(args, "--set", "state_dir="+state, "--set",
			"model.trust="+at("trust"))...)
		if code != want || !strings.Contains(stderr, says) {
			t.Fatalf("%v: exit %d, says %q, want %d and %q", args, code, stderr, want, says)
		}
		var l releaseLine
		if len(args) > 0 && args[len(args)-1] == "--json" {
			if err := json.Unmarshal([]byte(stdout), &l); err != nil {
				t.Fatalf("%v: %q: %v", args, stdout, err)
			}
		}
		return l
	}
	agent(exitUsage, "--password-file FILE or --no-password", "release", "keygen", "--out", at("k"))
	key := agent(exitDone, "k.pub goes into", "release", "keygen", "--out", at("k"), "--no-password", "--json").SignedBy
	agent(exitUsage, "--release NUMBER", "release", "sign", at("parts"), "--key", at("k.key"))
	agent(exitFailed, "is not signed", "release", "push", at("parts"), at("stick"))
	signed := agent(exitDone, "left out, for they are pictures: golden", "release", "sign", at("parts"),
		"--release", "3",
		"--key", at("k.key"), "--json")
	if signed.Name != "parts" || signed.Release != 3 || signed.SignedBy != key || signed.State != "signed" {
		t.Errorf("signed: %+v", signed)
	}
	agent(exitDone, "", "release", "push", at("parts"), at("stick"))
	agent(exitFailed, "no key is trusted here", "release", "verify", at("stick"))
	if got := agent(exitDone, "", "release", "verify", at("stick"), "--key", at("k.pub"),
		"--json"); got.State != "verified" ||
		got.Digest != signed.Digest {
		t.Errorf("verified: %+v", got)
	}
	agent(exitDone, "", "release", "sign", at("parts"), "--release", "4", "--key", at("k.key"), "--with-pictures")
	agent(exitFailed, "has pictures (golden)", "release", "push", at("parts"), at("stick"))
	agent(exitDone, "pictures travel: golden", "release", "push", at("parts"), at("stick"), "--with-pictures")

	unsigned := seededBundle(t)
	agent(exitDone, "", "model", "install", unsigned)
	sum, err := bundle.Digest(unsigned)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("trust"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at("k.pub"), at("trust/k.pub")); err != nil {
		t.Fatal(err)
	}
	agent(exitFailed, "was not activated: the bundle is not signed", "model", "activate", sum, "--no-verify")
	agent(exitFailed, "the bundle is not signed, and only signed ones are taken here", "model", "install", unsigned)
	got := agent(exitDone, "fetched ", "release", "pull", at("stick"), "--activate", "--no-verify", "--json")
	if got.Release != 4 || got.SignedBy != key || got.State != "active" || got.Digest == signed.Digest {
		t.Errorf("pulled: %+v", got)
	}
	agent(exitDone, "nothing to fetch: it is installed already", "release", "pull", at("stick")+":4")
	agent(exitFailed, "release 3 of parts is older than 4", "release", "pull", at("stick")+":3")
	agent(exitFailed, `has no file "int9": it has `, "release", "pull", at("stick"), "--files", "int9")
	agent(exitUsage, "--rate must be 1 or more", "release", "pull", at("stick"), "--rate", "-5")
	place := at("stick") + "3"
	agent(exitDone, "", "release", "sign", at("parts"), "--release", "3", "--key", at("k.key"), "--out", place)
	agent(exitFailed, "release 3 of parts is older than 4", "release", "pull", place)
	agent(exitFailed, "release 3 of parts is older than 4", "model", "install", at("parts"))
	agent(exitDone, "", "release", "pull", place, "--older")
	if err := os.WriteFile(at("trust/revoked"), []byte(key+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	agent(exitFailed, "key "+key+", which signed the release, is revoked", "release", "pull", at("stick"))
	if err := os.Remove(at("trust/revoked")); err != nil {
		t.Fatal(err)
	}
	_, stdout, _ := agentCmd(t, "release", "status", "--set", "state_dir="+state, "--set", "model.trust="+at("trust"))
	if !strings.Contains(stdout, "active    parts 3") || !strings.Contains(stdout, "refused: the bundle is not "+
		"signed") {
		t.Errorf("status shows:\n%s", stdout)
	}
}

// demoBundleDir is the bundle of the repository.
func demoBundleDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../demo/bundle")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
