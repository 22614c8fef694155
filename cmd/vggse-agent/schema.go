package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/vggse/vggse-agent/mqtt"
)

func newSchemaCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the MQTT contract: an AsyncAPI document with a JSON Schema of every message",
		Long: `Prints the AsyncAPI 3 document that every message of this program keeps to: topics, QoS, retain
flags, and closed JSON Schemas of the payloads. Generators make types and documentation of it.`,
		Example: "  vggse-agent schema > asyncapi.yaml\n  vggse-agent schema --json | jq .components.schemas.result",
		Args:    exactArgs(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				_, err := cmd.OutOrStdout().Write(mqtt.AsyncAPI)
				return err
			}
			var doc any
			if err := yaml.Unmarshal(mqtt.AsyncAPI, &doc); err != nil {
				return fmt.Errorf("the built-in contract: %w", err)
			}
			return printJSON(cmd.OutOrStdout(), doc)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as one JSON object")
	return cmd
}
