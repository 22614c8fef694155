package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/eval"
)

// source is a film or a stream.
type source struct{ name, uri string }

// splitSources tells films and URIs from pictures and folders; films are played as fast as can be.
func splitSources(args []string) (sources []source, stills []string) {
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case err == nil && info.Mode().IsRegular() && camera.IsFilmFile(arg):
			film := url.URL{Path: filepath.ToSlash(arg)}
			sources = append(sources, source{arg, "file://" + film.EscapedPath() + "?speed=max"})
		case err == nil && (info.Mode().IsRegular() || info.IsDir()):
			stills = append(stills, arg)
		case strings.Contains(arg, "://") || strings.HasPrefix(arg, "gst:") || isDevice(arg, info):
			sources = append(sources, source{camera.Redact(arg), arg})
		default:
			stills = append(stills, arg)
		}
	}
	return sources, stills
}

// isDevice tells whether a path is a camera's, or would be if that were plugged in; what stands below /dev
// besides are pipes.
func isDevice(path string, info os.FileInfo) bool {
	return strings.HasPrefix(path, "/dev/") && path != "/dev/stdin" && path != os.DevNull &&
		(info == nil || info.Mode()&os.ModeCharDevice != 0)
}

// classifySource classifies what a film or camera gives, in a process of its own.
func classifySource(ctx context.Context, c *eval.Classifier, from source, f *classifyFlags,
	show func(*eval.ImageAnswer) error) (err error) {
	if _, err := camera.ParseURI(from.uri); err != nil {
		return err
	}
	process := worker.New(camera.Config{Name: "classify", Source: from.uri})
	defer process.Close()
	s, err := process.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return c.Frames(ctx, s, from.name, f.every, f.frames, show)
}

// printer is what shows an answer in the form that was asked for.
func (f *classifyFlags) printer(w io.Writer, labels []string) func(*eval.ImageAnswer) error {
	table := csv.NewWriter(w)
	if f.csv {
		_ = table.Write(f.names(labels)) // an error comes again with the first line
	}
	return func(a *eval.ImageAnswer) error {
		if !f.logits {
			a.Logits = nil
		}
		if f.csv {
			_ = table.Write(f.values(a))
			table.Flush()
			return table.Error()
		}
		return printAnswer(w, a, f.json)
	}
}

// names are the columns of --csv.
func (f *classifyFlags) names(labels []string) []string {
	names := []string{"file", "frame", "time", "precision", "provider", "latency_ms"}
	for i := range min(max(1, f.top), len(labels)) {
		names = append(names, fmt.Sprintf("label_%d", i+1), fmt.Sprintf("score_%d", i+1))
	}
	if f.logits {
		for _, l := range labels {
			names = append(names, "logit "+l)
		}
	}
	return names
}

// values are what stands in them; frame and time are empty where there are none.
func (f *classifyFlags) values(a *eval.ImageAnswer) []string {
	number := func(v float32) string { return strconv.FormatFloat(float64(v), 'g', -1, 32) }
	frame, at := "", ""
	if a.Frame > 0 {
		frame = strconv.FormatUint(a.Frame, 10)
	}
	if a.Time != nil {
		at = a.Time.Format(time.RFC3339Nano)
	}
	line := []string{a.File, frame, at, a.Precision, a.Provider, strconv.FormatFloat(a.LatencyMS, 'g', -1, 64)}
	for _, s := range a.Top {
		line = append(line, s.Label, number(s.Score))
	}
	for _, v := range a.Logits {
		line = append(line, number(v))
	}
	return line
}

// printAnswer is an answer as one JSON object, or as a line for people.
func printAnswer(w io.Writer, a *eval.ImageAnswer, asJSON bool) error {
	if asJSON {
		return printJSON(w, a)
	}
	line := make([]string, len(a.Top))
	for i, s := range a.Top {
		line[i] = fmt.Sprintf("%s %.1f %%", s.Label, 100*s.Score)
	}
	name := a.File
	if a.Frame > 0 {
		name += fmt.Sprintf(" #%d", a.Frame)
	}
	if a.Unknown != nil && *a.Unknown {
		line = append([]string{fmt.Sprintf("unknown (p %.3f)", a.PValue)}, line...)
	}
	_, err := fmt.Fprintf(w, "%s\t%s\t(%s, %s, %.1f ms)\n", name, strings.Join(line, ", "), a.Provider, a.Precision,
		a.LatencyMS)
	if err == nil && a.Logits != nil {
		_, err = fmt.Fprintf(w, "\tlogits %v\n", a.Logits)
	}
	return err
}
