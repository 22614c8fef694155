package mqtt

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const manual = "../docs/mqtt.md"

// chart is what the table of topics needs of the contract.
type chart struct {
	Channels map[string]struct {
		Address, Summary string
		Messages         map[string]link
	}
	Operations yaml.Node // in the order of the document
	Components struct {
		Messages map[string]struct {
			ContentType string `yaml:"contentType"`
			Payload     struct {
				Ref  string `yaml:"$ref"`
				Enum []string
			}
		}
	}
}

type link struct {
	Ref string `yaml:"$ref"`
}

func (l link) name() string { return l.Ref[strings.LastIndex(l.Ref, "/")+1:] }

// topicTable writes the topics of the contract as a table.
func topicTable(t *testing.T) string {
	var c chart
	if err := yaml.Unmarshal(AsyncAPI, &c); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| topic | QoS | kept | payload | | when |\n|---|---|---|---|---|---|\n")
	short := strings.NewReplacer("{prefix}/{device}/{camera}/", "C/", "{prefix}/{device}/", "D/", "{discovery}/", "H/",
		"{device}", "<device>")
	for i := 1; i < len(c.Operations.Content); i += 2 {
		var o struct {
			Action, Summary string
			Channel         link
			Bindings        struct {
				MQTT struct {
					QoS    int `yaml:"qos"`
					Retain bool
				} `yaml:"mqtt"`
			}
		}
		if err := c.Operations.Content[i].Decode(&o); err != nil {
			t.Fatal(err)
		}
		channel := c.Channels[o.Channel.name()]
		payload := ""
		for key, ref := range channel.Messages {
			m := c.Components.Messages[ref.name()]
			switch {
			case key == "removal":
			case m.Payload.Enum != nil:
				payload = "`" + strings.Join(m.Payload.Enum, "`, `") + "`"
			case m.Payload.Ref != "":
				payload = "JSON `" + link{m.Payload.Ref}.name() + "`"
			default:
				payload = map[string]string{"classification": "a label", "threshold": "0 to 1",
					"unknownBelow": "0 to below 1",
					"snapshot":     "JPEG"}[ref.name()]
			}
		}
		kept, when := "", o.Summary
		if o.Bindings.MQTT.Retain {
			kept = "yes"
		}
		if o.Action == "receive" {
			when = "**heard**, " + o.Summary
		}
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s | %s | %s |\n", short.Replace(channel.Address), o.Bindings.MQTT.QoS,
			kept, payload, channel.Summary, when)
	}
	return b.String()
}

// The manual's table of topics is the contract's.
func TestDocumentedTopics(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), "-update' -->\n")
	_, after, ok2 := strings.Cut(rest, "<!-- end of topics -->")
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the topics", manual)
	}
	want := before + "-update' -->\n" + topicTable(t) + "<!-- end of topics -->" + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatalf("the topics of %s are not those of asyncapi.yaml: go test ./mqtt -run Documented -update", manual)
	}
	if err := os.WriteFile(manual, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fenced is the manual's block of code in the language.
func fenced(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindSubmatch(text)
	if found == nil {
		t.Fatalf("%s has no %s", manual, language)
	}
	return string(found[1])
}

// recipe starts Mosquitto as the manual says, with its files elsewhere, and returns both ports.
func recipe(t *testing.T, a *authority) (m *mosquitto, websockets int) {
	t.Helper()
	acl := filepath.Join(a.dir, "vggse.acl")
	if err := os.WriteFile(acl, []byte(fenced(t, "acl")), 0o644); err != nil {
		t.Fatal(err)
	}
	m = startMosquitto(t) // for its folder and port; ended at once
	m.kill()
	websockets = freePort(t)
	conf := strings.NewReplacer("listener 8883", fmt.Sprintf("listener %d 127.0.0.1", m.port), "listener 8884",
		fmt.Sprintf("listener %d 127.0.0.1", websockets),
		"/etc/mosquitto/certs/", a.dir+"/", "/etc/mosquitto/vggse.acl", acl).Replace(fenced(t, "conf"))
	conf += fmt.Sprintf("persistence_location %s/\nuser root\n", a.dir)
	if err := os.WriteFile(m.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	m.start()
	return m, websockets
}

// The manual's recipe for Mosquitto: the agent works with it, over TLS and over websockets; who may
// look on can look on and not command, and neither that one nor another device can speak for the
// agent.
func TestRecipe(t *testing.T) {
	a := newAuthority(t)
	a.issue("broker", []net.IP{net.IPv4(127, 0, 0, 1)})
	as := make(map[string][]string)
	for _, name := range []string{"edge01", "edge02", "viewer", "operator", "homeassistant"} {
		a.issue(name, nil)
		as[name] = []string{"--cafile", a.path("ca"), "--cert", a.path(name), "--key", a.path(name + "-key")}
	}
	m, websockets := recipe(t, a)
	e := listen(t, m.port, as["viewer"]...)
	home := listen(t, m.port, as["homeassistant"]...)

	cfg := testConfig("ssl://" + m.addr())
	cfg.TLS = TLS{CA: a.path("ca"), Cert: a.path("edge01"), Key: a.path("edge01-key")}
	cfg.Commands.Allow = Commands
	l, err := NewLink(cfg, testIdentity(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{link: l}
	l.Handle(c)
	stop := start(t, l)
	eventually(t, hang, "connected", l.Connected)
	publish(t, l, "cam01", "gear", 2)
	eventually(t, hang, "the viewer sees results",
		func() bool { return e.last("vggse/edge01/cam01/result") != "" })
	eventually(t, hang, "Home Assistant sees the device", func() bool {
		return home.last("homeassistant/device/vggse_edge01/config") != ""
	})
	pub(t, m, "command", order("viewer", "reload", "{}", 0), as["viewer"]...)
	pub(t, m, "command", order("edge02", "reload", "{}", 0), as["edge02"]...)
	pub(t, m, "cam01/enabled/set", "OFF", as["edge02"]...)
	pub(t, m, "cam01/classification", "nut", as["viewer"]...)
	pub(t, m, "cam01/classification", "bolt", as["edge02"]...)
	pub(t, m, "command", order("operator", "reload", "{}", 0), as["operator"]...)
	eventually(t, hang, "the operator is answered",
		func() bool { return e.last("vggse/edge01/command/response") != "" })
	pub(t, m, "cam01/threshold/set", "0.7", as["homeassistant"]...)
	eventually(t, hang, "Home Assistant sets the threshold",
		func() bool { return e.last("vggse/edge01/cam01/threshold/state") == "0.7" })
	if got := c.done(); got != "reload ; then reload; threshold cam01 0.7" {
		t.Errorf("did %s", got)
	}
	for _, h := range e.on("vggse/edge01/cam01/classification") {
		if h.Payload != "gear" && h.Payload != "unknown" {
			t.Errorf("somebody else said %s", h.Payload)
		}
	}
	stop()
	cfg.Broker = fmt.Sprintf("wss://127.0.0.1:%d", websockets)
	l, _ = runLink(t, cfg, quiet())
	eventually(t, hang, "connected over websockets", l.Connected)
	publish(t, l, "cam01", "gear", 1)
	eventually(t, hang, "acknowledged", func() bool { return l.Waiting() == 0 })
}
