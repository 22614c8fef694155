package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/vggse/vggse-agent/internal/mistake"
)

// rooms are the packages that put their names before their errors.
var rooms = strings.Fields("agent api bundle camera checkpoint configs dataset doctor eval fleet importer infer live " +
	"mqtt onnx pipeline prune quant release resample samples spool store teach verify vgg16se vision worker")

// tried is what the operating system's errors begin with: what was done to which file. A word without a dot or
// slash may be one of a sentence ("nothing can read it: …").
var tried = regexp.MustCompile(`\b(?:open|openat|stat|lstat|read|mkdir|rename|remove) (\S*[./]\S*): `)

// sentence is the message of an error for people: what each layer said, but no package's name behind
// another one, no path twice, and no word of the libraries for an end that was asked for.
func sentence(ctx context.Context, err error) string {
	parts := strings.Split(err.Error(), ": ")
	for i := 1; i < len(parts)-1 && parts[i-1] != "configs"; {
		if parts[i] == "configs" { // behind it stand settings, some of them called like a package
			parts = slices.Delete(parts, i, i+1)
			break
		}
		if slices.Contains(rooms, parts[i]) {
			parts = slices.Delete(parts, i, i+1)
		} else {
			i++
		}
	}
	text := onePath(strings.Join(parts, ": "))
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		text = strings.ReplaceAll(text, context.Canceled.Error(), "interrupted")
	}
	return strings.ReplaceAll(text, context.DeadlineExceeded.Error(), "it took too long")
}

// parsed is what the libraries say of a flag with a value that they cannot read.
var parsed = regexp.MustCompile(`^invalid argument ("(?:[^"\\]|\\.)*") for "(?:-\w, )?(--[\w-]+)" flag: ` +
	`(?:strconv\.Parse(\w+): parsing .*: (invalid syntax|value out of range)|time: (?:\w+ )*(duration) .*)$`)

// unknownFlag is about a flag that a verb does not have, written --long or as a dash and a word.
func unknownFlag(cmd *cobra.Command, long, dashed string) string {
	var flags []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f.Name)
		}
	})
	near := mistake.Nearest(cmp.Or(long, strings.TrimLeft(dashed, "-")), flags)
	switch _, err := os.Lstat(dashed); {
	case dashed != "" && err == nil:
		return fmt.Sprintf("unknown flag: %s: write the file of this name as ./%[1]s", dashed)
	case near != "":
		return fmt.Sprintf("unknown flag: %s, did you mean --%s?", cmp.Or(dashed, "--"+long), near)
	}
	return "unknown flag: " + cmp.Or(dashed, "--"+long)
}

// noFlag is what the libraries say of a flag that a verb does not have.
var noFlag = regexp.MustCompile(`^unknown flag: --(\S+)$|^unknown shorthand flag: .* in (-\S+)$`)

// flagMistake says what a flag wants instead, of one that the verb does not have the nearest, or how to give
// an argument that begins with a dash.
func flagMistake(cmd *cobra.Command, text string) string {
	if m := noFlag.FindStringSubmatch(text); m != nil {
		return unknownFlag(cmd, m[1], m[2])
	}
	m := parsed.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	kind := map[string]string{"Int": "a whole number", "Uint": "a whole number from 0 on", "Float": "a number",
		"Bool": "true or false", "duration": "a duration such as 90s"}[cmp.Or(m[3], m[5])]
	if m[4] == "value out of range" {
		kind += " that this machine can hold"
	}
	return fmt.Sprintf("%s must be %s, got %s", m[2], kind, m[1])
}

// onePath leaves out what was done to a file that was named before.
func onePath(text string) string {
	var out strings.Builder
	for {
		at := tried.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		out.WriteString(text[:at[0]])
		if !strings.Contains(out.String(), text[at[2]:at[3]]) {
			out.WriteString(text[at[0]:at[1]])
		}
		text = text[at[1]:]
	}
	out.WriteString(text)
	return out.String()
}
