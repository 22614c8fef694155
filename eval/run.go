package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
)

// Options are the choices of one Run.
type Options struct {
	Bundle  string // folder of the bundle
	Against string // that of another one to compare with; "": none
	Images  string // folder of the pictures, in folders that are named like labels
	Workers int    // pictures that are read at the same time
	Tool    string // who evaluates, for the report
}

// Run evaluates a bundle, beside another one where Options say so. open opens the network of a
// bundle; Run closes it.
func Run(ctx context.Context, open func(ctx context.Context, dir string) (*infer.Network, error), o Options,
	p *progress.Progress) (*Evaluation, error) {
	e, err := run(ctx, open, o, p)
	if err != nil {
		return nil, fmt.Errorf("evaluate: %w", err)
	}
	return e, nil
}

func run(ctx context.Context, open func(ctx context.Context, dir string) (*infer.Network, error), o Options,
	p *progress.Progress) (*Evaluation, error) {
	own, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	other := &bundle.Bundle{}
	if o.Against != "" {
		if other, err = bundle.Open(o.Against); err != nil {
			return nil, err
		}
	}
	pictures, found, err := dataset.List(ctx, o.Images, own.Spec.Labels)
	if err != nil {
		return nil, err
	}
	labelled := slices.ContainsFunc(pictures, func(p dataset.Picture) bool { return p.Label >= 0 })
	if !labelled && o.Against == "" {
		return nil, fmt.Errorf("no folder below %s is named like a label (%s, …): put the pictures into such folders, "+
			"or compare with --against BUNDLE", o.Images, own.Spec.Labels[0])
	}
	e, answers, err := o.answer(ctx, open, o.Bundle, pictures, p)
	if err != nil {
		return nil, err
	}
	e.Findings = append(e.Findings, found...)
	if o.Against == "" {
		return e, nil
	}
	a, others, err := o.answer(ctx, open, o.Against, relabelled(pictures, own.Spec.Labels, other.Spec.Labels), p)
	if err != nil {
		return nil, err
	}
	e.Against = Compare(own.Spec.Labels, answers, other.Spec.Labels, others)
	e.Against.Bundle, e.Against.SHA256, e.Against.Precision, e.Against.Provider = a.Bundle, a.SHA256, a.Precision,
		a.Provider
	return e, nil
}

// relabelled are the pictures with the numbers that a network with other labels has for theirs.
func relabelled(pictures []dataset.Picture, labels, others []string) []dataset.Picture {
	pictures = slices.Clone(pictures)
	for i := range pictures {
		if p := &pictures[i]; p.Label >= 0 {
			p.Label = slices.Index(others, labels[p.Label])
		}
	}
	return pictures
}

// answer opens the bundle in dir and lets it answer.
func (o *Options) answer(ctx context.Context, open func(ctx context.Context, dir string) (*infer.Network, error),
	dir string, pictures []dataset.Picture, p *progress.Progress) (e *Evaluation, answers []Answer, err error) {
	n, err := open(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	bar := p.Start("classifying with "+filepath.Base(filepath.Clean(dir)), int64(len(pictures)))
	defer bar.Done()
	if answers, err = Answers(ctx, n, pictures, o.Workers, bar); err != nil {
		return nil, nil, err
	}
	spec, info := &n.Bundle.Spec, n.Info()
	e = NewEvaluation(spec.Labels, answers)
	e.Tool, e.Bundle = o.Tool, strings.TrimSpace(spec.Name+" "+spec.Version)
	e.SHA256, e.Precision, e.Provider = n.SHA256, info.Precision, info.Provider
	return e, answers, nil
}

// Write puts report.json and report.html into the folder dir, which is made where it is missing.
func (e *Evaluation) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(atomicfile.WriteJSON(filepath.Join(dir, "report.json"), e),
		atomicfile.WriteFile(filepath.Join(dir, "report.html"),
			func(w io.Writer) error { return WriteHTML(w, e) }))
}
