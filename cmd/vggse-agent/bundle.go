package main

import (
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

func newBundleCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Carry bundles: pack one into a file",
		Args:  exactArgs(0, "the verb pack"),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBundlePackCmd())
	return cmd
}

func newBundlePackCmd() *cobra.Command {
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "pack DIR",
		Short: "Put a bundle into one reproducible, checksummed file, to carry to many devices",
		Long: `Pack writes the bundle in DIR into one tar file that 'vggse-agent model install' takes. The same
bundle always makes the same bytes. The file begins with SHA256SUMS and the manifest; reports, which
the manifest does not name, are left out. The digest that is printed is the bundle's name on every
device: the SHA-256 of its model.yaml.`,
		Example: "  vggse-agent bundle pack my-bundle\n  vggse-agent bundle pack my-bundle --out " +
			"/media/usb/parts-3.vggse",
		Args: exactArgs(1, "one DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := bundle.Open(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				out = filepath.Clean(args[0]) + ".vggse"
			}
			var sum string
			err = atomicfile.WriteFile(out, func(w io.Writer) (err error) {
				sum, err = bundle.Pack(cmd.Context(), args[0], w)
				return err
			})
			if err != nil {
				return fmt.Errorf("bundle pack: %w", err)
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]string{"file": out, "sha256": sum, "name": b.Spec.Name,
					"version": b.Spec.Version})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s %s  %s\n", sum, b.Spec.Name, b.Spec.Version, out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "`FILE` to write (default: DIR.vggse)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON line")
	return cmd
}
