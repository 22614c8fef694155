package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/mqtt"
	"github.com/vggse/vggse-agent/mqtt/contract"
)

func TestSchema(t *testing.T) {
	code, stdout, stderr := agentCmd(t, "schema")
	if code != exitDone || !strings.Contains(stdout, "asyncapi: 3.0.0") {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	code, stdout, stderr = agentCmd(t, "schema", "--json")
	var doc struct {
		Channels map[string]struct{ Address string }
	}
	if err := json.Unmarshal([]byte(stdout), &doc); code != exitDone || err != nil {
		t.Fatalf("exit %d, %v: %s", code, err, stderr)
	}
	if got := doc.Channels["result"].Address; got != "{prefix}/{device}/{camera}/result" {
		t.Errorf("address of results: %q", got)
	}
}

// judged puts a tap before a broker: what the program publishes there, in whatever process, must be
// in the contract.
func judged(t *testing.T, brokerURL string) *contract.Tap {
	t.Helper()
	c, err := contract.New(mqtt.AsyncAPI, map[string]string{"prefix": "vggse", "discovery": "homeassistant"})
	if err != nil {
		t.Fatal(err)
	}
	tap, err := contract.NewTap(brokerURL, func(packet []byte) {
		if err := c.Packet(packet); err != nil {
			t.Errorf("against the contract: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tap.Close)
	return tap
}
