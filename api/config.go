package api

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// Config says where the agent answers over HTTP, and to whom.
type Config struct {
	Listen       string   `mapstructure:"listen"`         // host:port; empty or off: nowhere
	TokenFile    string   `mapstructure:"token_file"`     // its first line is the token that lets look
	ActTokenFile string   `mapstructure:"act_token_file"` // and that of this one lets change something, too
	PlainAct     bool     `mapstructure:"plain_act"`      // change something off loopback without TLS, too
	Hosts        []string `mapstructure:"hosts"`          // names of this machine besides those that it knows itself
	Pictures     bool     `mapstructure:"pictures"`       // may be looked at
	TLS          TLS      `mapstructure:"tls"`
	Pprof        bool     `mapstructure:"pprof"` // Go's profiler under /debug/pprof/
	// MakeTokens makes the files of the tokens that are not there yet.
	MakeTokens bool `mapstructure:"-"`
}

// TLS is the server's certificate; both empty: plain HTTP.
type TLS struct {
	Cert string `mapstructure:"cert"` // PEM files, read again when they change
	Key  string `mapstructure:"key"`
}

// Default is the address of the manual. It alone gives way: see Listen.
const Default = "127.0.0.1:9108"

// leastToken is how short a token may be: of 16 random letters nobody guesses one.
const leastToken = 16

// Off reports whether the agent is to answer nowhere.
func (c *Config) Off() bool { return c.Listen == "" || c.Listen == "off" }

// Local reports whether only this machine reaches the address.
func (c *Config) Local() bool {
	host, _, _ := net.SplitHostPort(c.Listen) // as Validate has seen
	return loopback(host)
}

// Validate returns the first setting that cannot be, naming its key.
func (c *Config) Validate() error {
	if c.Off() {
		return nil
	}
	_, port, err := net.SplitHostPort(c.Listen)
	if n, bad := strconv.Atoi(port); err != nil || bad != nil || n < 0 || n > 65535 {
		return fmt.Errorf("http.listen: must be host:port such as %s, or off, got %q", Default, c.Listen)
	}
	if !c.Local() && c.TokenFile == "" {
		return fmt.Errorf("http.token_file: must name a file with a token, because http.listen %s can be reached "+
			"from other machines", c.Listen)
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return fmt.Errorf("http.tls: cert and key belong together, name both or none")
	}
	for i, name := range c.Hosts {
		if name == "" || strings.ContainsAny(name, "/:*@ ") && net.ParseIP(name) == nil {
			return fmt.Errorf("http.hosts[%d]: must be a host name or an address without scheme and port, got %q",
				i, name)
		}
	}
	return nil
}

// loopback reports whether only this machine reaches what listens on host.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// makeTokens writes the files of the tokens that are missing, readable by their owner alone.
func (c *Config) makeTokens() error {
	for _, f := range []struct{ key, path string }{{"token_file", c.TokenFile}, {"act_token_file", c.ActTokenFile}} {
		if _, err := os.Stat(f.path); f.path == "" || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := os.MkdirAll(filepath.Dir(f.path), 0o700)
		if err == nil {
			err = atomicfile.WriteFileMode(f.path, 0o600, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, rand.Text())
				return err
			})
		}
		if err != nil {
			return fmt.Errorf("http.%s: %w", f.key, err)
		}
	}
	return nil
}

// CheckFiles returns what is wrong with the files that the settings name; nil: they can be used.
func (c *Config) CheckFiles() error {
	if c.Off() || c.MakeTokens {
		return nil
	}
	view, err := readToken("http.token_file", c.TokenFile)
	if err != nil {
		return err
	}
	act, err := readToken("http.act_token_file", c.ActTokenFile)
	if err == nil && act != "" && act == view {
		err = fmt.Errorf("http.act_token_file: %s holds the token of http.token_file: who looks could also act",
			c.ActTokenFile)
	}
	if err == nil && c.TLS.Cert != "" {
		_, err = newCertificate(c.TLS)
	}
	return err
}

// readToken is the first line of a file; "" where none is named.
func readToken(key, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	line, err := atomicfile.FirstLine(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if line = strings.TrimSpace(line); len(line) < leastToken {
		return "", fmt.Errorf("%s: %s holds a token of %d characters, at least %d are needed "+
			"('openssl rand -hex 16' makes one)", key, path, len(line), leastToken)
	}
	return line, nil
}
