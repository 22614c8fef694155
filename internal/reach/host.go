package reach

import (
	"fmt"
	"strconv"
	"strings"
)

// noHost are characters that no host has, and that people write or leave there.
const noHost = "@\"' \\,;<>{}()$|*"

// Mistake says what is wrong with HOST or HOST:PORT, as it stands in a URL; "": nothing that is seen. What stands
// behind the colon is not repeated, it may be a password.
func Mistake(host string) string {
	switch at := strings.IndexAny(host, noHost); {
	case host == "" || host[0] == ':':
		return "has no host"
	case at >= 0 && host[at] == ' ':
		return "has a blank in its host"
	case at >= 0:
		return fmt.Sprintf("has the character %c in its host", host[at])
	case strings.Contains(host, "%") && host[0] != '[':
		return "has a percent sign in its host"
	}
	colon := strings.LastIndexByte(host, ':')
	if colon <= strings.LastIndexByte(host, ']') {
		return ""
	}
	port := host[colon+1:]
	switch n, err := strconv.ParseUint(port, 10, 32); {
	case err == nil && (n == 0 || n > 65535):
		return fmt.Sprintf("has port %d: a port is a number from 1 to 65535", n)
	case port != "" && err != nil:
		return "has no port behind the colon: one is a number from 1 to 65535 (behind a password stand an at sign " +
			"and the host)"
	}
	return ""
}

// Zone is a host with the % before a network interface written as URLs want it (RFC 6874): [fe80::1%25eth0].
func Zone(host string) string {
	if strings.HasPrefix(host, "[") && strings.Contains(host, "%") && !strings.Contains(host, "%25") {
		return strings.Replace(host, "%", "%25", 1)
	}
	return host
}
