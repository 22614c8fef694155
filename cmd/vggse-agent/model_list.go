package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/bundle/store"
	"github.com/vggse/vggse-agent/release"
)

// noModel is what 'model list' says beside an empty list.
const noModel = "no model is installed here ('vggse-agent model install FILE|DIR' installs one)"

// modelLine is what the verbs of model print with --json.
type modelLine struct {
	SHA256     string     `json:"sha256"`
	Name       string     `json:"name"`
	Version    string     `json:"version"`
	Active     bool       `json:"active"`
	Precisions []string   `json:"precisions"` // empty where the bundle is damaged
	Bytes      int64      `json:"bytes"`      // of all its files
	Created    *time.Time `json:"created"`    // null where nobody has said
	Local      bool       `json:"local"`      // made on this device from a signed one, and signed by its key
}

func lineOf(i store.Installed) modelLine {
	line := modelLine{SHA256: i.SHA256, Name: i.Name, Version: i.Version, Active: i.Active, Precisions: []string{}}
	b, err := bundle.Open(i.Dir)
	if err != nil {
		return line
	}
	line.Local = release.LocalOf(i.Dir) != nil
	for _, key := range slices.Sorted(maps.Keys(b.Spec.Files)) {
		line.Bytes += b.Spec.Files[key].Bytes
		precision, _, _ := strings.Cut(key, ".")
		if isPrecision(precision) && !slices.Contains(line.Precisions, precision) {
			line.Precisions = append(line.Precisions, precision)
		}
	}
	if at := b.Spec.Provenance.Created; !at.IsZero() {
		line.Created = &at
	}
	return line
}

func isPrecision(word string) bool {
	return slices.Contains([]string{"fp32", "fp16", "bf16", "int8"}, word)
}

// String is the line for people: what tells two models of one name apart stands behind the name.
func (l modelLine) String() string {
	mark := " "
	if l.Active {
		mark = "*"
	}
	if l.Name == "" {
		return fmt.Sprintf("%s %s  (damaged: install it again, or remove it)", mark, l.SHA256)
	}
	text := fmt.Sprintf("%s %s  %-20s  %-14s  %9s", mark, l.SHA256, strings.TrimSpace(l.Name+" "+l.Version),
		strings.Join(l.Precisions, " "), fmt.Sprintf("%.1f MB", float64(l.Bytes)/1e6))
	if l.Local {
		text += "  local"
	}
	if l.Created != nil {
		text += "  " + l.Created.UTC().Format(time.DateOnly)
	}
	return text
}
