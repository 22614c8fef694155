package teach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/internal/atomicfile"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// Exported says what Export wrote.
type Exported struct {
	Images     int    `json:"images"`
	Unreadable int    `json:"unreadable"` // left out
	Dim        int    `json:"dim"`        // features of a picture
	SHA256     string `json:"sha256"`     // of the file

	Findings []dataset.Finding `json:"findings,omitempty"` // what is odd about the pictures
}

// ExportOptions are the choices of one Export.
type ExportOptions struct {
	Bundle  string // folder
	Images  string // folder of the pictures
	Out     string // file to write
	Views   bool   // write the looks at each picture that Run fits to, too
	Workers int    // pictures that are read at the same time
}

// Export writes the features of the pictures below Images into the safetensors file Out: the tensor
// features, float32 [images, dim], and in its metadata, as JSON, "files" (the path of each row) and
// "labels" (its label, or the name of the folder that could be one's). With Views there is the tensor views,
// [images, views, dim], too.
func Export(ctx context.Context, open Open, o ExportOptions, p *progress.Progress) (*Exported, error) {
	x, err := export(ctx, open, o, p)
	if err != nil {
		return nil, fmt.Errorf("features: %w", err)
	}
	return x, nil
}

func export(ctx context.Context, open Open, o ExportOptions, p *progress.Progress) (x *Exported, err error) {
	b, err := bundle.Open(o.Bundle)
	if err != nil {
		return nil, err
	}
	pictures, found, err := dataset.List(ctx, o.Images, b.Spec.Labels)
	if err != nil {
		return nil, err
	}
	for i := range pictures {
		pictures[i].Label = 0 // no label is needed
	}
	work, err := os.MkdirTemp("", "vggse-features.*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if _, _, err := backbone(ctx, b, work); err != nil {
		return nil, err
	}
	n, err := open(ctx, work, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	bar := p.Start("reading pictures", int64(len(pictures)))
	defer bar.Done()
	views := viewsOf(false)
	if !o.Views {
		views = views[:1]
	}
	examples, _, err := read(ctx, n, pictures, []int{-1}, views, o.Workers, bar)
	if err != nil {
		return nil, err
	}
	x, err = writeFeatures(ctx, o.Out, pictures, examples)
	if err == nil {
		x.Findings = found
	}
	return x, err
}

func writeFeatures(ctx context.Context, out string, pictures []dataset.Picture, examples []example) (*Exported, error) {
	x := &Exported{}
	var rows, views []float32
	looks := 1
	files, labels := []string{}, []string{}
	for i := range examples {
		e := &examples[i]
		if e.err != nil {
			x.Unreadable++
			continue
		}
		x.Dim = len(e.views[0])
		rows = append(rows, e.views[0]...)
		looks = len(e.views)
		for _, v := range e.views {
			views = append(views, v...)
		}
		picture := &pictures[e.picture]
		files, labels = append(files, picture.Path), append(labels, picture.Folder)
	}
	if x.Images = len(files); x.Images == 0 {
		return nil, fmt.Errorf("none of the %d pictures can be read: %w", len(examples), examples[0].err)
	}
	facts := map[string]string{}
	for key, v := range map[string][]string{"files": files, "labels": labels} {
		text, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		facts[key] = string(text)
	}
	tensors := []checkpoint.Out{{Name: "features", Shape: []int64{int64(x.Images), int64(x.Dim)},
		Source: checkpoint.Float32s(rows)}}
	if looks > 1 {
		tensors = append(tensors, checkpoint.Out{Name: "views",
			Shape: []int64{int64(x.Images), int64(looks), int64(x.Dim)}, Source: checkpoint.Float32s(views)})
	}
	var err error
	x.SHA256, _, err = atomicfile.WriteHashed(ctx, out, io.Discard, func(w io.Writer) error {
		return checkpoint.WriteSafetensors(w, tensors, facts)
	})
	return x, err
}
