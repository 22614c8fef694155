package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed static
var files embed.FS

// file is one embedded file as it is served.
type file struct {
	content []byte
	kind    string
	etag    string
}

// served are the files by their path below static/.
var served = readFiles()

var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8",
}

func readFiles() map[string]file {
	all := make(map[string]file)
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(name, "static/vendor/") {
			content = lean(content)
		}
		sum := sha256.Sum256(content)
		all[strings.TrimPrefix(name, "static/")] = file{content, kinds[path.Ext(name)], fmt.Sprintf(`"%x"`, sum[:12])}
		return nil
	})
	if err != nil {
		return nil // an embedded file system can be read: a test says so
	}
	return all
}

// lean is a file without indentation and without lines that are a comment alone, which no browser
// needs. Every line keeps its number.
func lean(text []byte) []byte {
	lines := bytes.Split(text, []byte("\n"))
	for i, line := range lines {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("//")) ||
			bytes.HasPrefix(line, []byte("/*")) && bytes.HasSuffix(line, []byte("*/")) {
			line = nil
		}
		lines[i] = line
	}
	return bytes.Join(lines, []byte("\n"))
}

// policy allows what comes from this very address and nothing else: no inline script or style, no
// frame around the page, no form to elsewhere.
const policy = "default-src 'self'; img-src 'self' blob:; connect-src 'self'; object-src 'none'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// Secure sets the headers that every answer of the agent has.
func Secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer a form sends "Origin: null"
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	serveFile(w, r, strings.TrimPrefix(r.URL.Path, "/static/"))
}

func serveFile(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := served[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // kept, and asked for anew each time
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
}
