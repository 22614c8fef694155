package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/release"
)

func newKeygenCmd() *cobra.Command {
	var out, passwordFile string
	var bare bool
	cmd := &cobra.Command{
		Use:   "keygen",
		Short: "Make a key that signs releases",
		Long: `Keygen writes FILE.key, which signs and stays with the publisher, and FILE.pub, which goes into
/etc/vggse-agent/trust/ of every device. Both are files of the program minisign.`,
		Example: "  vggse-agent release keygen --out factory",
		Args:    exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			password := ""
			if !bare {
				var err error
				if password, err = newPassword(cmd, passwordFile); err != nil {
					return err
				}
			}
			k, err := release.NewKey(out, password)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s.key signs: keep it. %[1]s.pub goes into /etc/vggse-agent/trust/ of the "+
				"devices.\n", out)
			return printRelease(cmd, releaseLine{Name: out, Digest: k.Fingerprint, SignedBy: k.ID, State: "made"})
		},
	}
	f := cmd.Flags()
	f.StringVar(&out, "out", "release", "beginning of the names of the two `FILE`s")
	f.StringVar(&passwordFile, "password-file", "", "`FILE` whose first line encrypts the key")
	f.BoolVar(&bare, "no-password", false, "do not encrypt the key")
	return cmd
}

// newPassword comes from a file, else from the terminal, twice.
func newPassword(cmd *cobra.Command, file string) (string, error) {
	if file != "" {
		return readPassword(cmd, file)
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return "", usagef("keygen wants --password-file FILE or --no-password where nobody can type")
	}
	first, err := readPassword(cmd, "")
	if err != nil {
		return "", err
	}
	again, err := readPassword(cmd, "")
	if err != nil {
		return "", err
	}
	if first != again || first == "" {
		return "", fmt.Errorf("release keygen: the two passwords differ or are empty: try again")
	}
	return first, nil
}

// keyLimit is the largest file with a key or a password that is read, bytes.
const keyLimit = 64 << 10

// readPassword is the first line of a file, or what is typed.
func readPassword(cmd *cobra.Command, file string) (string, error) {
	if file != "" {
		text, err := atomicfile.ReadSmall(file, keyLimit)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		if first = strings.TrimSuffix(first, "\r"); first == "" {
			return "", fmt.Errorf("--password-file: %s begins with an empty line", file)
		}
		return first, nil
	}
	fmt.Fprint(cmd.ErrOrStderr(), "password of the key: ")
	text, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	return string(text), err
}

// openKey opens a secret key, and asks for its password where one is needed.
func openKey(cmd *cobra.Command, path, passwordFile string) (*release.SecretKey, error) {
	password := ""
	if passwordFile != "" {
		var err error
		if password, err = readPassword(cmd, passwordFile); err != nil {
			return nil, err
		}
	}
	k, err := release.OpenSecretKey(path, password)
	if !errors.Is(err, release.ErrPassword) {
		return k, err
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, fmt.Errorf("release: %s: %w with --password-file", path, err)
	}
	if password, err = readPassword(cmd, ""); err != nil {
		return nil, err
	}
	return release.OpenSecretKey(path, password)
}
