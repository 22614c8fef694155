package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/vggse/vggse-agent/configs"
)

// sections stand at the end of every page.
const sections = `.SH EXIT STATUS
0 done; 1 failed; 2 wrong usage; 3 a quality gate was missed; 75 restart me (asked for, or a call is stuck);
78 a mistake in the configuration.

.SH ENVIRONMENT
Every setting is also \fBVGGSE_\fP and its key with underscores, such as \fBVGGSE_MQTT_BROKER\fP. \fBORT_LIB\fP names
the libonnxruntime.so where infer.library is auto. \fBNO_COLOR\fP turns colours off.

.SH FILES
\fI./vggse-agent.yaml\fP, \fI/etc/vggse-agent/vggse-agent.yaml\fP: the configuration, see \fBvggse-agent.yaml(5)\fP.
.PP
\fI/var/lib/vggse-agent\fP, \fI/var/cache/vggse-agent\fP: state and cache of the service; a user's are below
\fI~/.local/state\fP and \fI~/.cache\fP.

`

// manPage is the page of one verb.
func manPage(cmd *cobra.Command, header *doc.GenManHeader) ([]byte, error) {
	var page bytes.Buffer
	own := *header
	if err := doc.GenMan(cmd, &own, &page); err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(page.String(), "[=false]", "")
	end := strings.LastIndex(text, ".SH SEE ALSO")
	if end < 0 {
		end = len(text)
	}
	return []byte(text[:end] + verbsOf(cmd) + sections + text[end:]), nil
}

// verbsOf lists the verbs below cmd, each with its sentence; empty where it has none.
func verbsOf(cmd *cobra.Command) string {
	var list strings.Builder
	for _, verb := range cmd.Commands() {
		if verb.IsAvailableCommand() {
			fmt.Fprintf(&list, ".TP\n\\fB%s\\fP\n%s\n", verb.Name(), roff(verb.Short))
		}
	}
	if list.Len() == 0 {
		return ""
	}
	return ".SH COMMANDS\n" + list.String() + "\n"
}

// writePages writes the pages of root and all its verbs into folder.
func writePages(root *cobra.Command, header *doc.GenManHeader, folder string) (err error) {
	walk(root, func(cmd *cobra.Command) {
		if err != nil || cmd != root && !cmd.IsAvailableCommand() {
			return
		}
		var page []byte
		if page, err = manPage(cmd, header); err == nil {
			name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
			err = os.WriteFile(filepath.Join(folder, name), page, 0o644)
		}
	})
	return err
}

// settingsPage is vggse-agent.yaml(5): the built-in configuration is its own manual.
func settingsPage() []byte {
	return []byte(`.TH "VGGSE-AGENT.YAML" "5" "" "vggse-agent" "vggse-agent"
.SH NAME
vggse-agent.yaml - settings of vggse-agent

.SH DESCRIPTION
The first of ./vggse-agent.yaml and /etc/vggse-agent/vggse-agent.yaml that is there is read, or the file of --config.
These are all settings, with the value that each has where nobody sets it.

.SH SETTINGS
.nf
` + roff(string(configs.Default)) + `.fi

.SH SEE ALSO
\fBvggse-agent(1)\fP, \fBvggse-agent-check-config(1)\fP
`)
}

// roff is plain text for a manual page.
func roff(text string) string {
	text = strings.ReplaceAll(text, `\`, `\e`)
	text = strings.ReplaceAll(text, "-", `\-`)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
