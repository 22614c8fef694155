package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"aead.dev/minisign"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/filelock"
)

// Files of the state folder with the key that signs what was made on this device. The public part is
// for those who may not read the secret one, such as doctor of another account.
const (
	deviceKeyFile    = "device.key"
	devicePublicFile = "device.pub"
)

// deviceKey is the device's key, which is made at its first use.
func (g *Gate) deviceKey(ctx context.Context) (*SecretKey, error) {
	unlock, err := filelock.Lock(ctx, filepath.Join(g.StateDir, ".releases.lock"), 0o600)
	if err != nil {
		return nil, err
	}
	defer unlock()
	path := filepath.Join(g.StateDir, deviceKeyFile)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := makeDeviceKey(path); err != nil {
			return nil, err
		}
	}
	if err := CheckDeviceKey(g.StateDir); err != nil {
		return nil, err
	}
	k, err := OpenSecretKey(path, "")
	if err != nil {
		return nil, fmt.Errorf("%w: remove %s, and install what was made on this device again", err, path)
	}
	public := filepath.Join(g.StateDir, devicePublicFile)
	if text, err := atomicfile.ReadSmall(public, 4<<10); err == nil && string(text) == string(k.Public.Text()) {
		return k, nil
	}
	return k, writeText(public, 0o644, k.Public.Text())
}

func makeDeviceKey(path string) error {
	_, secret, err := minisign.GenerateKey(nil)
	if err != nil {
		return err
	}
	text, err := secret.MarshalText()
	if err != nil {
		return err
	}
	return writeText(path, 0o600, append(text, '\n'))
}

func writeText(path string, mode fs.FileMode, text []byte) error {
	return atomicfile.WriteFileMode(path, mode, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// CheckDeviceKey is an error where another account than the owner of the state folder could use the
// device's key. One that was never made is good.
func CheckDeviceKey(stateDir string) error {
	path := filepath.Join(stateDir, deviceKeyFile)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	folder, err := os.Stat(stateDir)
	if err != nil {
		return err
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no plain file: remove it, and install what was made on this device again", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s may be read by others (%v), who then sign in this device's name: remove it, and install "+
			"what was made on this device again", path, info.Mode().Perm())
	case owner(info) != owner(folder):
		return fmt.Errorf("%s is another account's than %s: remove it, and install what was made on this device again",
			path, stateDir)
	}
	return nil
}

func owner(info fs.FileInfo) uint32 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Uid
	}
	return 0
}

// devicePublic is the public part of the device's key; nil where it has none yet.
func (g *Gate) devicePublic() (*Key, error) {
	path := filepath.Join(g.StateDir, devicePublicFile)
	text, err := atomicfile.ReadSmall(path, 4<<10)
	if g.StateDir == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k, err := ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s %w: remove it, the next installation makes it again", path, err)
	}
	k.Source = path
	return &k, nil
}
