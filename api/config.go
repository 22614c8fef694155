package api

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Config says where the agent answers over HTTP, and to whom.
type Config struct {
	Listen    string `mapstructure:"listen"`     // host:port; empty or off: nowhere
	TokenFile string `mapstructure:"token_file"` // its first line must come as "Authorization: Bearer …"
	Pprof     bool   `mapstructure:"pprof"`      // Go's profiler under /debug/pprof/
}

// Default is the address of the manual. It alone gives way: see Listen.
const Default = "127.0.0.1:9108"

// leastToken is how short a token may be: of 16 random letters nobody guesses one.
const leastToken = 16

// Off reports whether the agent is to answer nowhere.
func (c *Config) Off() bool { return c.Listen == "" || c.Listen == "off" }

// Validate returns the first setting that cannot be, naming its key.
func (c *Config) Validate() error {
	if c.Off() {
		return nil
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		return fmt.Errorf("http.listen: must be host:port such as %s, or off, got %q", Default, c.Listen)
	}
	if !loopback(host) && c.TokenFile == "" {
		return fmt.Errorf("http.token_file: must name a file with a token, because http.listen %s can be reached "+
			"from other machines", c.Listen)
	}
	return nil
}

// loopback reports whether only this machine reaches what listens on host.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// CheckFiles returns what is wrong with the files that the settings name; nil: they can be used.
func (c *Config) CheckFiles() error {
	if c.Off() {
		return nil
	}
	_, err := c.token()
	return err
}

// token is the first line of the file; "" where there is none to be shown.
func (c *Config) token() (string, error) {
	if c.TokenFile == "" {
		return "", nil
	}
	line, err := atomicfile.FirstLine(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("http.token_file: %w", err)
	}
	if line = strings.TrimSpace(line); len(line) < leastToken {
		return "", fmt.Errorf("http.token_file: %s holds a token of %d characters, at least %d are needed "+
			"('openssl rand -hex 16' makes one)",
			c.TokenFile, len(line), leastToken)
	}
	return line, nil
}
