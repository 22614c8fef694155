// Package logging hands log records to a terminal, a file or systemd's journal, and limits what
// repeats.
package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"

	slogjournal "github.com/systemd/slog-journal"
)

// New returns a logger that writes to w: format is text or json, level one of slog's names (others
// mean info). Where w is systemd's journal, text goes there with its level and its attributes as
// fields. What repeats is limited.
func New(w io.Writer, level, format string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	return slog.New(newLimiter(sink(w, format, least)))
}

func sink(w io.Writer, format string, level slog.Level) slog.Handler {
	options := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	if w == os.Stderr && isJournal(os.Stderr, os.Getenv("JOURNAL_STREAM")) {
		if h, err := newJournal(level); err == nil {
			return h
		}
	}
	return slog.NewTextHandler(w, options)
}

// isJournal compares a file with the device and inode that systemd names in $JOURNAL_STREAM
// (systemd.exec(5)).
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journal hands a record to the journal twice: as a line for who reads, and as fields VGGSE_… for
// who filters.
type journal struct {
	fields, words slog.Handler
	line          *lineOf
}

// lineOf is where words writes to.
type lineOf struct {
	sync.Mutex
	bytes.Buffer
}

func newJournal(level slog.Leveler) (*journal, error) {
	fields, err := slogjournal.NewHandler(&slogjournal.Options{
		Level: level,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			a.Key = "VGGSE_" + strings.Map(fieldLetter, a.Key)
			return a
		},
		ReplaceGroup: func(group string) string { return strings.Map(fieldLetter, group) },
	})
	if err != nil {
		return nil, err
	}
	line := new(lineOf)
	words := slog.NewTextHandler(line,
		&slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
				return slog.Attr{} // the journal has them
			}
			return a
		}})
	return &journal{fields: fields, words: words, line: line}, nil
}

// fieldLetter maps to what a field of the journal may be called.
func fieldLetter(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 'a' + 'A'
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return r
	}
	return '_'
}

func (j *journal) Enabled(ctx context.Context, level slog.Level) bool {
	return j.fields.Enabled(ctx, level)
}

func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	j.line.Lock()
	defer j.line.Unlock()
	j.line.Reset()
	if err := j.words.Handle(ctx, r); err != nil {
		return err
	}
	if attributes := strings.TrimSpace(j.line.String()); attributes != "" {
		r.Message += ": " + attributes
	}
	return j.fields.Handle(ctx, r)
}

func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{fields: j.fields.WithAttrs(attrs), words: j.words.WithAttrs(attrs), line: j.line}
}

func (j *journal) WithGroup(name string) slog.Handler {
	return &journal{fields: j.fields.WithGroup(name), words: j.words.WithGroup(name), line: j.line}
}
