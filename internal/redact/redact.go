// Package redact hides credentials in what is shown: settings, log lines, errors.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands where a secret stood.
const Mark = "***"

// name is what a key with a secret is called, in the query of a URL, in the path of a camera that
// takes its parameters there, or in a GStreamer pipeline: a word of it says so. It rather hides too
// much.
const name = `[\w.-]*(?:pass|pwd|passwd|secret|token|auth|api-?key|credential|signature|cookie|jwt|session)[\w.-]*` +
	`|[\w.-]*[_.-](?:pw|key|sig)|(?:user|proxy)-id|key|pw|sig|sid|loginpas`

// credentials are user and password before a host, also where the scheme was mistyped or forgotten,
// and the values of telling names; one that is written in percent signs may be any. A password may
// hold nearly anything, and what stands before the last @ may be part of one.
var credentials = regexp.MustCompile(`(?i)(:/{1,2})[^\s/].*@|\b[\w.%-]+:[^\s/"'@]+@[\w\[]|` +
	`((?:/?\b(?:` + name + `)\s*[=:]|[\w.-]*%[0-9a-f]{2}[\w.%-]*\s*=)\s*)` +
	`("(?:[^"\\]|\\.)*"?|'[^']*'?|(?:\(\w+\))?(?:bearer|basic|digest)[\s\\]+[^\s&"'!]+|[^&\s"'!;]+)`)

// unfinished is a password of an address that has lost its @ and the host, as one that was cut at a
// blank: where the port stands is a letter.
var unfinished = regexp.MustCompile("(://[^\\s/:@\\[\\]]+:)[^\\s/?#:,;)>\\]\"'`]*\\pL[^\\s/?#,;)>\\]\"'`]*")

// Text returns a source, a URL, or a text that holds one, with credentials replaced by ***.
func Text(text string) string {
	var out strings.Builder
	from := 0
	for _, at := range next.FindAllStringIndex(text, -1) {
		out.WriteString(one(text[from : at[0]+1]))
		from = at[0] + 1
	}
	out.WriteString(one(text[from:]))
	return out.String()
}

// next begins an address behind another one: what stands between the two is no password.
var next = regexp.MustCompile(`(?i)[\s="'(](?:rtsps?|https?|onvif|wss?|tcp|ssl|tls|mqtts?|rtp|rtmp|srt|file|gst)://`)

// one is Text of a text with one address at most.
func one(text string) string {
	shown := credentials.ReplaceAllStringFunc(text, hidden)
	return unfinished.ReplaceAllString(shown, "${1}"+Mark)
}

// hidden is what credentials found, without the secret.
func hidden(s string) string {
	if slashes := len(s[1:]) - len(strings.TrimLeft(s[1:], "/")); s[0] == ':' && slashes > 0 {
		return s[:1+slashes] + Mark + "@"
	}
	if host := strings.LastIndexByte(s, '@'); host == len(s)-2 {
		return Mark + s[host:]
	}
	end := strings.IndexAny(s, "=:") + 1
	if before, behind := s[:end-1], s[end:]; s[end-1] == ':' && strings.HasPrefix(behind, " ") && isFile(before) {
		return s[:end] + credentials.ReplaceAllStringFunc(behind, hidden)
	}
	return s[:end] + Mark
}

// isFile tells whether what stands before a colon and a blank is a file's name, which a word of an error
// follows, and no secret's.
func isFile(name string) bool {
	ending := name[strings.LastIndexByte(name, '.')+1:]
	return name[0] == '/' || ending != name && !whole.MatchString(ending)
}

// whole is a telling name alone.
var whole = regexp.MustCompile(`(?i)^(?:` + name + `)$`)

// secret is the last word of a setting that is a secret itself, not the file that holds it.
var secret = regexp.MustCompile(`(?i)(^|[._])(password|passphrase|secret|token)$`)

// Key reports whether the value of a setting of this name is a secret.
func Key(key string) bool { return secret.MatchString(key) }
