package release

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/pemfile"
)

// Place is where releases are: a repository of a registry, a folder or a .tar file with an OCI
// layout.
type Place struct {
	Registry string // host[:port]/path; empty: a folder or file
	Path     string // of the folder or file
	Name     string // that the release must have; empty: any, or that of the repository
	Release  int64  // 0: the highest
	Plain    bool   // HTTP without TLS
	Login    Login
}

// Login is what a registry wants to know, and the way to it.
type Login struct {
	User         string `mapstructure:"user"` // empty: nobody's
	PasswordFile string `mapstructure:"password_file"`
	Proxy        string `mapstructure:"proxy"` // URL; empty: none, whatever the environment says
	CA           string `mapstructure:"ca"`    // PEM file of who signs the registry's certificate; empty: the system's
}

// Config says where releases come from.
type Config struct {
	From  string `mapstructure:"from"` // registry with a path, or folder; empty: places are given in full
	Login `mapstructure:",squash"`
	Rate  int64 `mapstructure:"rate"` // bytes a second, at most; 0: no limit
	// Name is what the service pulls by itself, every so often (0: never), and whether it then runs.
	Name     string        `mapstructure:"name"`
	Every    time.Duration `mapstructure:"every"`
	Activate bool          `mapstructure:"activate"`
	// Window is when it is verified and activated, as 02:00-04:00 of local time; empty: at once.
	Window string `mapstructure:"window"`
}

// Validate returns the first setting that cannot be, naming its key.
func (c *Config) Validate() error {
	if c.Rate < 0 {
		return fmt.Errorf("update.rate: must be >= 0 bytes a second, got %d", c.Rate)
	}
	if (c.User == "") != (c.PasswordFile == "") {
		return errors.New("update.user and update.password_file go together: set both, or none")
	}
	if c.From != "" {
		if _, err := ParsePlace("name", c.From, c.Login); err != nil {
			return fmt.Errorf("update.from: %w", err)
		}
	}
	switch {
	case c.Name != "" && CheckName(c.Name) != nil:
		return fmt.Errorf("update.name: %w", CheckName(c.Name))
	case c.Every < 0:
		return fmt.Errorf("update.every: must be >= 0s, got %s", c.Every)
	case c.Every > 0 && (c.Name == "" || c.From == ""):
		return errors.New("update.every: wants update.name and update.from: of what release, and from where")
	}
	if _, _, err := c.hours(); err != nil {
		return err
	}
	if c.Proxy == "" {
		return nil
	}
	if u, err := url.Parse(c.Proxy); err != nil || u.Host == "" {
		return errors.New("update.proxy: must be a URL, as http://proxy:3128")
	}
	return nil
}

// String is the place as it is given on a command line. It holds no secret.
func (p Place) String() string {
	if p.Registry == "" {
		return p.Path
	}
	return p.Registry
}

func (p Place) isTar() bool { return p.Registry == "" && strings.HasSuffix(p.Path, ".tar") }

// name is the last part of a repository's name.
func (p Place) name() string { return path.Base(p.Registry) }

// ParsePlace reads NAME[:N], REGISTRY/NAME[:N], http://REGISTRY/NAME[:N], a folder or a .tar file. A
// bare NAME lies under from, which is a registry with a path or a folder of layouts; empty: there is
// none. What begins with /, ./ or ../, ends in .tar or is there as a folder is a path; where nothing is
// there, and something before a last colon is, what follows is the number.
func ParsePlace(s, from string, login Login) (Place, error) {
	p := Place{Login: login}
	if dir, number := numbered(s); number > 0 {
		p.Path, p.Release = filepath.Clean(dir), number
		return p, nil
	}
	if isPath(s) {
		p.Path = filepath.Clean(s)
		return p, nil
	}
	address, number := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		address, number = s[:i], s[i+1:]
	}
	if number != "" || strings.HasSuffix(s, ":") {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 {
			return p, fmt.Errorf("release: %s: behind the colon stands the number of a release, got %.40q", address,
				number)
		}
		p.Release = n
	}
	if !strings.Contains(address, "/") {
		if err := CheckName(address); err != nil {
			return p, fmt.Errorf("release: %w", err)
		}
		if from == "" {
			return p, fmt.Errorf("release: where %s lies is not known: set update.from to REGISTRY[/PATH] or a "+
				"folder, or give REGISTRY/%s, a folder or a .tar file", address, address)
		}
		if isPath(from) {
			p.Path, p.Name = filepath.Join(from, address), address
			return p, nil
		}
		address = strings.TrimSuffix(from, "/") + "/" + address
	}
	return p.at(address)
}

// at sets the repository.
func (p Place) at(address string) (Place, error) {
	if scheme, rest, ok := strings.Cut(address, "://"); ok && scheme != "http" && scheme != "https" {
		return p, fmt.Errorf("release: %.80q: %.20s:// is left out here: write REGISTRY/NAME, as reg.example/parts",
			redactUser(rest), scheme)
	}
	if rest, ok := strings.CutPrefix(address, "http://"); ok {
		address, p.Plain = rest, true
	}
	p.Registry = strings.TrimPrefix(address, "https://")
	if _, err := remote.NewRepository(p.Registry); err != nil || strings.ContainsAny(p.Registry, "@?#") {
		return p, fmt.Errorf("release: %.80q is no REGISTRY/NAME: lower case, without user, password or digest",
			redactUser(p.Registry))
	}
	return p, nil
}

// redactUser takes out what stands in front of an @.
func redactUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// numbered are the folder or the tar file and the number behind it; 0: it is no such place.
func numbered(s string) (path string, number int64) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || exists(s) || !exists(s[:i]) || !isPath(s[:i]) {
		return "", 0
	}
	number, err := strconv.ParseInt(s[i+1:], 10, 64)
	if err != nil || number < 1 {
		return "", 0
	}
	return s[:i], number
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isPath(s string) bool {
	for _, prefix := range []string{"/", "./", "../"} {
		if strings.HasPrefix(s, prefix) {
			return true
		}
	}
	if s == "." || s == ".." || strings.HasSuffix(s, ".tar") {
		return true
	}
	info, err := os.Stat(s)
	return err == nil && info.IsDir()
}

// repository is the client of the registry.
func (p Place) repository() (*remote.Repository, error) {
	repo, err := remote.NewRepository(p.Registry)
	if err != nil {
		return nil, err
	}
	transport, err := p.Login.transport()
	if err != nil {
		return nil, err
	}
	client := &auth.Client{Client: &http.Client{Transport: retry.NewTransport(transport)}, Cache: auth.NewCache()}
	client.SetUserAgent("vggse-agent")
	if p.Login.User != "" {
		password, err := p.Login.password()
		if err != nil {
			return nil, err
		}
		client.Credential = auth.StaticCredential(repo.Reference.Registry,
			auth.Credential{Username: p.Login.User, Password: password})
	}
	repo.Client, repo.PlainHTTP, repo.MaxMetadataBytes = client, p.Plain, manifestBytes
	repo.TagListMaxPages, repo.ReferrerListMaxPages = 1000, 100
	return repo, nil
}

func (l Login) password() (string, error) {
	if l.PasswordFile == "" {
		return "", errors.New("the registry's user has no password: set update.password_file")
	}
	text, err := atomicfile.ReadSmall(l.PasswordFile, 64<<10)
	if err != nil {
		return "", fmt.Errorf("the registry's password: %w", err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(first, "\r"), nil
}

// stalled is how long a registry may say nothing.
const stalled = 60 * time.Second

func (l Login) transport() (*http.Transport, error) {
	t := &http.Transport{DialContext: (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 30 * time.Second, ResponseHeaderTimeout: stalled, ForceAttemptHTTP2: true,
		IdleConnTimeout: stalled, MaxIdleConnsPerHost: 2}
	if l.Proxy != "" {
		u, err := url.Parse(l.Proxy)
		if err != nil || u.Host == "" {
			return nil, errors.New("update.proxy: is no URL, as http://proxy:3128")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if l.CA != "" {
		pool, err := pemfile.Pool(l.CA)
		if err != nil {
			return nil, fmt.Errorf("update.ca: %w", err)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return t, nil
}

// errGone is that the registry has not got what was asked for, or refuses it: asking again is no
// use.
type errGone struct{ error }

func (e errGone) Unwrap() error { return e.error }

// explain says in words what a registry answered.
func explain(err error) error {
	var answer *errcode.ErrorResponse
	switch {
	case err == nil || errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, errdef.ErrNotFound):
		return errGone{fmt.Errorf("the registry has not got it (%w): look at the name and the number", err)}
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized ||
		answer.StatusCode == http.StatusForbidden):
		return errGone{fmt.Errorf("the registry refuses the login (%d): set update.user and update.password_file, or "+
			"what the account may do", answer.StatusCode)}
	case errors.As(err, &answer) && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests &&
		answer.StatusCode != http.StatusRequestTimeout:
		return errGone{fmt.Errorf("the registry answered %w", err)}
	}
	return errAway{fmt.Errorf("the registry cannot be reached: %w", err)}
}

// errAway is that a registry did not answer, or not well: it may later.
type errAway struct{ error }

func (e errAway) Unwrap() error { return e.error }

// IsAway reports whether an error is that a registry could not be reached: asking later may help.
func IsAway(err error) bool {
	var away errAway
	return errors.As(err, &away)
}
