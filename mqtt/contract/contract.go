// Package contract judges MQTT messages by an AsyncAPI document: message, document → verdict.
//
// It is for tests: the program itself only carries the document (mqtt.AsyncAPI).
package contract

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// Message is one publication on its way to the broker.
type Message struct {
	Topic   string
	QoS     byte
	Retain  bool
	Payload []byte
}

// Contract is an AsyncAPI 3 document, ready to judge. It may be used from several goroutines.
type Contract struct {
	operations []operation
}

// operation is what may be sent, or received, on the topics of one channel.
type operation struct {
	name, action, address string
	topic                 *regexp.Regexp
	qos                   byte
	retain                bool
	payloads              []payload
}

type payload struct {
	contentType string
	schema      *jsonschema.Schema
}

// document is the part of an AsyncAPI document that matters here.
type document struct {
	DefaultContentType string
	Channels           map[string]struct {
		Address  string
		Messages map[string]ref
	}
	Operations map[string]struct {
		Action   string
		Channel  ref
		Bindings struct {
			MQTT struct {
				QoS    byte `yaml:"qos"`
				Retain bool
			} `yaml:"mqtt"`
		}
	}
	Components struct {
		Messages map[string]struct {
			ContentType string `yaml:"contentType"`
		}
	}
}

type ref struct {
	Ref string `yaml:"$ref"`
}

// New reads an AsyncAPI document in YAML. values stand for the parameters of addresses; a parameter
// without one is any topic level of letters, digits, _ and -.
func New(text []byte, values map[string]string) (*Contract, error) {
	var doc document
	var whole any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	if err := yaml.Unmarshal(text, &whole); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7) // what AsyncAPI's schemas are a superset of
	compiler.AssertFormat()
	if err := compiler.AddResource("contract.yaml", whole); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	c := new(Contract)
	for name, o := range doc.Operations {
		channel, ok := doc.Channels[strings.TrimPrefix(o.Channel.Ref, "#/channels/")]
		if !ok {
			return nil, fmt.Errorf("contract: operation %s: no channel %s", name, o.Channel.Ref)
		}
		op := operation{
			name: name, action: o.Action, address: channel.Address, topic: pattern(channel.Address, values),
			qos: o.Bindings.MQTT.QoS, retain: o.Bindings.MQTT.Retain,
		}
		for _, m := range channel.Messages {
			schema, err := compiler.Compile("contract.yaml" + m.Ref + "/payload")
			if err != nil {
				return nil, fmt.Errorf("contract: %s: %w", m.Ref, err)
			}
			kind := doc.Components.Messages[strings.TrimPrefix(m.Ref, "#/components/messages/")].ContentType
			if kind == "" {
				kind = "application/json"
			}
			op.payloads = append(op.payloads, payload{kind, schema})
		}
		c.operations = append(c.operations, op)
	}
	return c, nil
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// pattern is what the topics of an address look like.
func pattern(address string, values map[string]string) *regexp.Regexp {
	text := parameter.ReplaceAllStringFunc(regexp.QuoteMeta(address), func(s string) string { return s })
	for _, p := range parameter.FindAllString(address, -1) {
		level := `[A-Za-z0-9_-]+`
		if value, ok := values[p[1:len(p)-1]]; ok {
			level = regexp.QuoteMeta(value)
		}
		text = strings.ReplaceAll(text, regexp.QuoteMeta(p), level)
	}
	return regexp.MustCompile("^" + text + "$")
}

// Sent returns what is wrong with a message that the agent sends, or nil.
func (c *Contract) Sent(m Message) error { return c.check("send", m) }

// Received returns what is wrong with a message that the agent gets, or nil.
func (c *Contract) Received(m Message) error { return c.check("receive", m) }

func (c *Contract) check(action string, m Message) error {
	for i := range c.operations {
		o := &c.operations[i]
		if o.action != action || !o.topic.MatchString(m.Topic) {
			continue
		}
		switch {
		case action == "send" && m.QoS != o.qos:
			return fmt.Errorf("%s: QoS %d, the contract says %d", m.Topic, m.QoS, o.qos)
		case m.Retain != o.retain:
			return fmt.Errorf("%s: retain %t, the contract says %t", m.Topic, m.Retain, o.retain)
		}
		var err error
		for _, p := range o.payloads {
			if err = p.check(m.Payload); err == nil {
				return nil
			}
		}
		return fmt.Errorf("%s: %.2000s: %w", m.Topic, m.Payload, err)
	}
	return fmt.Errorf("%s: no topic of the contract", m.Topic)
}

func (p *payload) check(b []byte) error {
	switch p.contentType {
	case "text/plain":
		return p.schema.Validate(string(b))
	case "image/jpeg":
		if !bytes.HasPrefix(b, []byte{0xff, 0xd8}) || !bytes.HasSuffix(b, []byte{0xff, 0xd9}) {
			return fmt.Errorf("is no JPEG")
		}
		return p.schema.Validate(strings.Repeat(".", len(b))) // maxLength counts bytes, not letters
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return err
	}
	return p.schema.Validate(v)
}
