package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/release"
	"github.com/vggse/vggse-agent/verify"
)

// signFlags are those of sign.
type signFlags struct {
	release.SignOptions
	imageFlags
	key, passwordFile, expires, created, newKey, out string
}

func newSignCmd() *cobra.Command {
	var o signFlags
	cmd := &cobra.Command{
		Use:   "sign BUNDLE --release N --key FILE",
		Short: "Sign a bundle as a release",
		Long: `Sign writes statement.json and statement.json.minisig into the folder of the bundle. The statement
names the bundle, the image that 'release push' makes of it, and the number of the release, which
must rise: a device never goes back. Reports do not travel; goldens that are pictures only do with
--with-pictures.`,
		Example: "  vggse-agent release sign parts --release 7 --key factory.key\n" +
			"  vggse-agent release push parts registry.example/factory/parts",
		Args: exactArgs(1, "one BUNDLE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runSign(cmd, args[0], o) },
	}
	f := cmd.Flags()
	f.Int64Var(&o.SignOptions.Release, "release", 0, "`NUMBER` of the release, higher than all before")
	f.StringVar(&o.key, "key", "", "secret key, a `FILE` of 'release keygen' or minisign")
	f.StringVar(&o.passwordFile, "password-file", "", "`FILE` whose first line opens the key")
	f.StringVar(&o.Name, "name", "", "of the release (default: the bundle's name)")
	f.StringVar(&o.expires, "expires", "", "`TIME` from which on devices refuse it: 2027-12-31, or RFC 3339")
	f.StringVar(&o.created, "created", "", "`TIME` of the statement (default: now); the same gives the same bytes")
	f.StringVar(&o.Agent, "agent", "", "least `VERSION` of the agent, v1.2.3")
	f.Float64Var(&o.Gates.Agreement, "agreement", 0, "measured agreement with the network it was made from, 0 to 1")
	f.Float64Var(&o.Gates.Top1, "top1", 0, "measured accuracy, 0 to 1")
	o.addTrial(cmd)
	f.StringVar(&o.newKey, "new-key", "", "public key `FILE` that devices trust from now on because of this release")
	f.StringVar(&o.out, "out", "", "also push to this folder or .tar `FILE`")
	o.imageFlags.add(cmd)
	return cmd
}

// addTrial are the flags of what devices hold the new model to, beyond their own model.trial.
func (o *signFlags) addTrial(cmd *cobra.Command) {
	f, t := cmd.Flags(), &o.Trial
	f.IntVar(&t.Minutes, "trial-minutes", 0, "least minutes on trial, where the device's model.trial asks for less")
	f.IntVar(&t.Frames, "trial-frames", 0, "and least decisions")
	f.Float64Var(&t.Agreement, "trial-agreement", 0, "and least agreement with the model before, 0 to 1")
	f.Float64Var(&t.Unknown, "trial-unknown", 0, "and largest share of pictures without a label, 0 to 1")
	f.Float64Var(&t.Latency, "trial-latency", 0, "and most time for a picture, in times of the model before, 1 or more")
}

func runSign(cmd *cobra.Command, dir string, o signFlags) error {
	if o.SignOptions.Release < 1 || o.key == "" {
		return usagef("sign wants --release NUMBER (1 or more) and --key FILE (see '%s --help')", cmd.CommandPath())
	}
	if err := o.read(); err != nil {
		return err
	}
	key, err := openKey(cmd, o.key, o.passwordFile)
	if err != nil {
		return err
	}
	without, err := pictureKeys(cmd, dir, o.pictures)
	if err != nil {
		return err
	}
	m, cleanup, err := o.image(cmd, dir, without)
	if err != nil {
		return err
	}
	defer cleanup()
	signed, err := release.Sign(m, o.SignOptions, key)
	if err != nil {
		return err
	}
	if err := signed.WriteTo(dir); err != nil {
		return err
	}
	if o.out != "" {
		if err := release.Push(cmd.Context(), m, signed, release.Place{Path: o.out}); err != nil {
			return err
		}
	}
	return printRelease(cmd, releaseLineOf(signed.Statement, key.Public.ID, "signed"))
}

// read takes over the times and the new key.
func (o *signFlags) read() (err error) {
	if o.created != "" {
		if o.Created, err = parseTime(o.created); err != nil {
			return usagef("--created: %w", err)
		}
	}
	if o.Created.IsZero() {
		o.Created = time.Now()
	}
	if o.expires != "" {
		end, err := parseTime(o.expires)
		if err != nil {
			return usagef("--expires: %w", err)
		}
		if !end.After(o.Created) {
			return usagef("--expires: %s is over already", o.expires)
		}
		o.Valid = end.Sub(o.Created)
	}
	if o.newKey == "" {
		return nil
	}
	text, err := atomicfile.ReadSmall(o.newKey, keyLimit)
	if err != nil {
		return fmt.Errorf("--new-key: %w", err)
	}
	k, err := release.ParseKey(text)
	if err != nil {
		return fmt.Errorf("--new-key: %s %w", o.newKey, err)
	}
	o.NewKey = &k
	return nil
}

func parseTime(s string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, fmt.Errorf("%q is no time: write 2027-12-31 or 2027-12-31T12:00:00Z", s)
	}
	return t, nil
}

// image cuts the bundle in the folder dir; cleanup removes what that needed on disk.
func (f *imageFlags) image(cmd *cobra.Command, dir string, without []string) (*release.Image, func(), error) {
	if !f.plain {
		m, err := release.NewImage(cmd.Context(), dir, without)
		return m, func() {}, err
	}
	tmp, err := os.MkdirTemp("", "vggse-release-*")
	if err != nil {
		return nil, nil, err
	}
	m, err := release.NewPlainImage(cmd.Context(), dir, without, f.arch, tmp)
	if err != nil {
		os.RemoveAll(tmp)
	}
	return m, func() { os.RemoveAll(tmp) }, err
}

// pictureKeys are the goldens of a bundle that do not travel, and says which do.
func pictureKeys(cmd *cobra.Command, dir string, with bool) ([]string, error) {
	b, err := bundle.Open(dir)
	if err != nil {
		return nil, err
	}
	pictures := picturesIn(b)
	if with || len(pictures) == 0 {
		if len(pictures) > 0 {
			fmt.Fprintln(cmd.ErrOrStderr(), "pictures travel:", strings.Join(pictures, ", "))
		}
		return nil, nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "left out, for they are pictures: %s (--with-pictures takes them along)\n",
		strings.Join(pictures, ", "))
	return pictures, nil
}

// picturesIn are the keys of a bundle's goldens that show something.
func picturesIn(b *bundle.Bundle) (keys []string) {
	for _, key := range []string{bundle.FileGolden, bundle.FileGoldens8} {
		if path, err := b.Path(key); err == nil && verify.Pictures(path, &b.Spec) {
			keys = append(keys, key)
		}
	}
	return slices.Compact(keys)
}
