package mqtt

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// announceOnce announces the device, and remembers in the state folder what it has announced: Home Assistant
// must be told of what is gone. Without a folder it tells of what is there.
func (l *Link) announceOnce() {
	path := filepath.Join(l.cfg.StateDir, "announced.json")
	var before map[string]string
	if l.cfg.StateDir != "" {
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, &before)
		}
		if err != nil && !os.IsNotExist(err) {
			l.log.Warn("what was announced to Home Assistant is not known any more", "error", err)
		}
	}
	now := l.announce(before)
	if l.cfg.StateDir == "" || len(now) == 0 {
		return // what was taken away may not have arrived: it is taken away again next time
	}
	for key, platform := range before { // until discovery is switched off, as the message may not arrive
		if _, still := now[key]; !still {
			now[key] = platform
		}
	}
	if err := writeAside(path, encode(now)); err != nil {
		l.log.Warn("what is announced to Home Assistant cannot be remembered", "error", err)
	}
}

// writeAside writes a file whole or not at all.
func writeAside(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of no effect once it has its name
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}
