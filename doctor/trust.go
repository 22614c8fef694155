package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/release"
)

// checkTrust tells which keys may sign, and fails where another account than root could add one, or
// where what runs may no longer.
func checkTrust(_ context.Context, p *Target) []Finding {
	const check = "trust"
	folder := p.Config.Model.Trust
	if err := rootsAlone(folder); err != nil {
		return one(check, Fail, err.Error(), "sudo chown -R root:root "+folder+" && sudo chmod -R go-w "+folder)
	}
	gate := p.Config.Gate("")
	t, err := gate.Trust()
	if err != nil {
		return one(check, Fail, err.Error(), "correct what it names")
	}
	if len(t.Bad) > 0 {
		return one(check, Fail, errors.Join(t.Bad...).Error(), "copy the .pub file again, or remove it")
	}
	if err := release.CheckDeviceKey(p.Config.StateDir); err != nil {
		return one(check, Fail, err.Error(), "remove it")
	}
	made := ""
	if p.Config.Model.Demo != "" && bundle.IsDigest(filepath.Base(p.Config.Model.Bundle)) {
		a, err := gate.Installed(p.Config.Model.Bundle)
		if err != nil {
			return one(check, Fail, "the active model: "+err.Error(), "activate a release that is signed")
		}
		if a.Local != nil {
			made = "; the active model is local, made on this device from " + a.Local.Parent.String()
		}
	}
	var keys []string
	for _, k := range t.Keys {
		keys = append(keys, k.ID+" ("+k.Source+")")
	}
	found := "keys: " + strings.Join(keys, ", ")
	if len(keys) == 0 {
		found = "no key in " + folder
	}
	found += made
	if !t.Required() {
		return one(check, Warn, found+": bundles are installed and activated without a signature",
			"sudo install -D -m 644 publisher.pub "+filepath.Join(folder, "publisher.pub"))
	}
	if len(keys) == 0 {
		return one(check, Warn, found+" that is not revoked: nothing signed is installed or activated",
			"put the publisher's new .pub file there")
	}
	return one(check, OK, found+": nothing else is installed or activated, but for what was made here "+
		"(model.allow_local: "+p.Config.Model.AllowLocal+")", "")
}

// rootsAlone is an error where another account than root could change what is in the folder, or
// exchange it. A folder that is not there is nobody's yet.
func rootsAlone(folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	paths := []string{folder}
	for above := filepath.Dir(folder); ; above = filepath.Dir(above) {
		paths = append(paths, above)
		if above == filepath.Dir(above) {
			break
		}
	}
	inside, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		return err
	}
	for _, path := range append(paths, inside...) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := rootAlone(path, info); err != nil {
			return err
		}
	}
	return nil
}

// rootAlone looks at one file or folder. Where all may write, as in /tmp, it is good enough above
// the folder that only the owner of an entry may take it away.
func rootAlone(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != 0 {
		return fmt.Errorf("%s is not root's: who owns it can trust any key", path)
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("others than root may write to %s (%v): they can trust any key", path, mode)
	}
	return nil
}
