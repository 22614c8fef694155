package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Key is a public key that may sign releases.
type Key struct {
	ID          string // 16 hexadecimal digits, as minisign shows them; anybody can choose the same
	Fingerprint string // SHA-256 of the key itself, hexadecimal
	Source      string // where it comes from: a file, or "adopted from" its parent's ID
	text        string // in base64, as minisign writes it
	public      minisign.PublicKey
}

// ParseKey reads a minisign public key, with its line of comment or without.
func ParseKey(text []byte) (Key, error) {
	var k Key
	if err := k.public.UnmarshalText(bytes.TrimSpace(text)); err != nil {
		return k, errors.New("is no minisign public key: copy the .pub file again")
	}
	k.ID, k.text = fmt.Sprintf("%016X", k.public.ID()), k.public.String()
	raw, err := base64.StdEncoding.DecodeString(k.text)
	if err != nil {
		return k, err
	}
	k.Fingerprint = hexSum(raw[10:])
	return k, nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// verifies reports whether the signature over raw is this key's.
func (k *Key) verifies(raw, signature []byte) bool {
	return minisign.Verify(k.public, raw, bytes.TrimRight(signature, "\r\n"))
}

// Text is the .pub file of the key.
func (k *Key) Text() []byte {
	return []byte("untrusted comment: minisign public key " + k.ID + "\n" + k.text + "\n")
}

// SecretKey signs releases.
type SecretKey struct {
	Public Key
	secret minisign.PrivateKey
}

// NewKey makes a key, writes its secret part to path.key (readable by its owner alone) and its
// public part to path.pub. With a password the secret part is encrypted as minisign does it, which
// takes a second and a gigabyte of memory. Files that are there are not touched.
func NewKey(path, password string) (Key, error) {
	public, secret, err := minisign.GenerateKey(nil)
	if err != nil {
		return Key{}, fmt.Errorf("release: keygen: %w", err)
	}
	text, err := secret.MarshalText()
	if password != "" {
		text, err = minisign.EncryptKey(password, secret)
	}
	if err != nil {
		return Key{}, fmt.Errorf("release: keygen: %w", err)
	}
	pub, err := public.MarshalText()
	if err != nil {
		return Key{}, fmt.Errorf("release: keygen: %w", err)
	}
	for _, f := range []struct {
		name string
		mode fs.FileMode
		text []byte
	}{{path + ".key", 0o600, text}, {path + ".pub", 0o644, pub}} {
		if err := writeNew(f.name, f.mode, append(f.text, '\n')); err != nil {
			return Key{}, fmt.Errorf("release: keygen: %w", err)
		}
	}
	return ParseKey(pub)
}

// writeNew writes a file that must not be there.
func writeNew(path string, mode fs.FileMode, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: choose another --out", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

// ErrPassword is that a secret key is encrypted and no password was given.
var ErrPassword = errors.New("the secret key is encrypted: give its password")

// OpenSecretKey reads a secret key of minisign or NewKey.
func OpenSecretKey(path, password string) (*SecretKey, error) {
	text, err := atomicfile.ReadSmall(path, 4<<10)
	if err != nil {
		return nil, fmt.Errorf("release: key: %w", err)
	}
	k := &SecretKey{}
	switch {
	case !minisign.IsEncrypted(text):
		err = k.secret.UnmarshalText(text)
	case password == "":
		return nil, ErrPassword
	default:
		if k.secret, err = minisign.DecryptKey(password, text); err != nil {
			return nil, fmt.Errorf("release: key: %s: the password is wrong, or the file is damaged", path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("release: key: %s is no minisign secret key: make one with 'vggse-agent release keygen'",
			path)
	}
	public, ok := k.secret.Public().(minisign.PublicKey)
	if !ok {
		return nil, fmt.Errorf("release: key: %s has no public part", path)
	}
	k.Public, err = ParseKey([]byte(public.String()))
	return k, err
}

// sign returns minisign's signature file for the bytes of a statement.
func (k *SecretKey) sign(s *Statement, raw []byte) []byte {
	comment := fmt.Sprintf("%s release %d", s.Name, s.Release)
	return append(bytes.TrimRight(minisign.SignWithComments(k.secret, raw, comment, "signature of a vggse-agent "+
		"release"),
		"\n"), '\n')
}

// readKeys reads the *.pub files of a folder. Those that cannot be used are in bad: they count as
// keys that sign nothing. A folder that is not there has none.
func readKeys(dir string) (keys []Key, bad []error, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".pub") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := atomicfile.ReadSmall(path, 4<<10)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		k, err := ParseKey(text)
		if err != nil {
			bad = append(bad, fmt.Errorf("%s %w", path, err))
			continue
		}
		k.Source = path
		keys = append(keys, k)
	}
	return keys, bad, nil
}

// readRevoked reads the words of the file revoked in the trust folder: fingerprints of keys and
// digests of bundles, one a line, # begins a remark.
func readRevoked(dir string) (map[string]bool, error) {
	text, err := atomicfile.ReadSmall(filepath.Join(dir, "revoked"), 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		word, _, _ := strings.Cut(line, "#")
		if word = strings.ToLower(strings.TrimSpace(word)); word == "" {
			continue
		}
		if word = strings.TrimPrefix(word, "sha256:"); len(word) != 64 && len(word) != 16 {
			return nil, fmt.Errorf("%s: %.40q is neither the ID or fingerprint of a key nor the digest of a bundle",
				filepath.Join(dir, "revoked"), word)
		}
		all[word] = true
	}
	return all, nil
}
