package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/release"
)

// loginFlags stand in for the keys of update.
type loginFlags struct{ user, passwordFile string }

func (l *loginFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.user, "user", "", "`NAME` for the registry (default: update.user)")
	cmd.Flags().StringVar(&l.passwordFile, "password-file", "", "`FILE` whose first line is the password")
}

// place reads a PLACE with the settings in force.
func (l *loginFlags) place(s *settings, text string) (release.Place, error) {
	var over []string
	if l.user != "" {
		over = append(over, "update.user="+l.user)
	}
	if l.passwordFile != "" {
		over = append(over, "update.password_file="+l.passwordFile)
	}
	e, err := s.load(over...)
	if err != nil {
		return release.Place{}, err
	}
	p, err := release.ParsePlace(text, e.Config.Update.From, e.Config.Update.Login)
	if err != nil {
		return p, withCode(exitUsage, err)
	}
	return p, nil
}

func newPushCmd(s *settings) *cobra.Command {
	var image imageFlags
	var login loginFlags
	cmd := &cobra.Command{
		Use:   "push BUNDLE|FOLDER|TAR PLACE",
		Short: "Publish a signed bundle, or a release that was carried",
		Long: `Push copies a bundle that 'release sign' signed, or a release in a folder or .tar file, to a registry,
a folder or a .tar file. What is there already is not sent again, and the number of a release never
changes its meaning. A bundle is cut the same way as when it was signed, so --plain must be given
again where it was given then, and --with-pictures where pictures are to leave this machine.`,
		Example: "  vggse-agent release push parts registry.example/factory/parts\n" +
			"  vggse-agent release push parts /media/usb/parts.tar",
		Args: exactArgs(2, "what to push, and a PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := login.place(s, args[1])
			if err != nil {
				return err
			}
			m, signed, cleanup, err := image.open(cmd, args[0])
			if err != nil {
				return err
			}
			defer cleanup()
			if err := release.Push(cmd.Context(), m, signed, to); err != nil {
				return err
			}
			return printRelease(cmd, releaseLineOf(signed.Statement, signed.KeyID(), "pushed"))
		},
	}
	image.add(cmd)
	login.add(cmd)
	return cmd
}

// isBundle reports whether dir is the folder of a bundle, not a layout.
func isBundle(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, bundle.SpecFile))
	return err == nil
}

// open is what is to be pushed.
func (f *imageFlags) open(cmd *cobra.Command, from string) (*release.Image, *release.Signed, func(), error) {
	if isBundle(from) {
		return f.openBundle(cmd, from)
	}
	r, err := release.Open(cmd.Context(), release.Place{Path: from}, &release.Gate{Require: release.RequireFalse},
		release.Wanted{})
	if err != nil {
		return nil, nil, nil, err
	}
	m, signed, err := r.Image()
	if err != nil {
		r.Close()
		return nil, nil, nil, err
	}
	return m, signed, func() { r.Close() }, nil
}

func (f *imageFlags) openBundle(cmd *cobra.Command, dir string) (*release.Image, *release.Signed, func(), error) {
	signed, err := release.ReadSigned(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	travels := func(key string) bool { return slices.Contains(signed.Statement.Files, key) }
	pictures := slices.DeleteFunc(picturesIn(b), func(key string) bool { return !travels(key) })
	if len(pictures) > 0 && !f.pictures {
		return nil, nil, nil, fmt.Errorf("release push: the release has pictures (%s): give --with-pictures to let "+
			"them leave this machine, or sign it without", strings.Join(pictures, ", "))
	}
	if len(pictures) > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "pictures travel:", strings.Join(pictures, ", "))
	}
	without := slices.DeleteFunc(slices.Sorted(maps.Keys(b.Spec.Files)), travels)
	m, cleanup, err := f.image(cmd, dir, without)
	return m, signed, cleanup, err
}

func newReleaseVerifyCmd(s *settings) *cobra.Command {
	var key string
	var login loginFlags
	cmd := &cobra.Command{
		Use:   "verify BUNDLE|PLACE",
		Short: "Check signature, numbers and every byte of a release, without installing it",
		Args:  exactArgs(1, "one BUNDLE or PLACE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			gate, err := verifyGate(s, key)
			if err != nil {
				return err
			}
			if isBundle(args[0]) {
				a, err := gate.VerifyBundle(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return printRelease(cmd, releaseLineOf(a.Statement, a.SignedBy(), "verified"))
			}
			place, err := login.place(s, args[0])
			if err != nil {
				return err
			}
			r, err := release.Open(cmd.Context(), place, gate, release.Wanted{Older: true})
			if err != nil {
				return err
			}
			defer r.Close()
			if err := r.Verify(cmd.Context(), os.TempDir()); err != nil {
				return err
			}
			return printRelease(cmd, releaseLineOf(r.Statement, r.SignedBy(), "verified"))
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key `FILE` to trust, and no other (default: those of model.trust)")
	login.add(cmd)
	return cmd
}

// verifyGate requires a signature, by the key in a file, or by those that are trusted here.
func verifyGate(s *settings, key string) (*release.Gate, error) {
	if key == "" {
		e, err := s.load()
		if err != nil {
			return nil, err
		}
		gate := e.Config.Gate(version)
		gate.Require = release.RequireTrue
		return gate, nil
	}
	text, err := atomicfile.ReadSmall(key, keyLimit)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	k, err := release.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("--key: %s %w", key, err)
	}
	return &release.Gate{Keys: []release.Key{k}, Require: release.RequireTrue, Agent: version}, nil
}
