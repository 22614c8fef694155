package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Digest is that of the bundle in the folder dir.
func Digest(dir string) (string, error) {
	text, err := atomicfile.ReadSmall(filepath.Join(dir, SpecFile), maxHead)
	if err != nil {
		return "", fmt.Errorf("bundle: %w", err)
	}
	return hexSum(text), nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// CheckAll compares every file of the bundle in dir with the manifest.
func CheckAll(ctx context.Context, dir string) error {
	b, err := Open(dir)
	if err != nil {
		return err
	}
	for key := range b.Spec.Files {
		if err := b.CheckFile(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
