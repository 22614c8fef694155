package teach

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/vggse/vggse-agent/dataset"
	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/progress"
	"github.com/vggse/vggse-agent/vision"
)

// viewsOf are the looks at every picture that a head is fitted to: a camera that was moved a
// little, and another light. The first is the picture as it is.
func viewsOf(flip bool) []dataset.View {
	views := []dataset.View{
		{},
		{Crop: 0.1, Light: 0.15},
		{Crop: 0.1, X: 1, Y: 1, Light: -0.15},
	}
	if flip {
		for _, v := range slices.Clone(views) {
			v.Flip = true
			views = append(views, v)
		}
	}
	return views
}

// read classifies the views of pictures with n, whose model file ends at the features; answers are
// those of its own head, for which known says where each label of the pictures is, −1 for a new
// one. A picture that cannot be read does not end the others.
func read(ctx context.Context, n *infer.Network, pictures []dataset.Picture, known []int, views []dataset.View,
	workers int, bar *progress.Bar) ([]example, []eval.Answer, error) {
	head, err := infer.ReadHead(n.Bundle)
	if err != nil {
		return nil, nil, err
	}
	spec := &n.Bundle.Spec
	size := spec.Architecture.InputSize
	set := dataset.New(pictures, spec.Preprocess, size, 0)
	examples, answers := make([]example, len(pictures)), make([]eval.Answer, len(pictures))
	var next atomic.Int64
	return examples, answers, eval.Parallel(ctx, max(1, workers), func(ctx context.Context) error {
		x := vision.NewTensor(1, 3, size, size)
		logits := make(vision.Logits, len(spec.Labels))
		for {
			i := int(next.Add(1)) - 1
			if i >= len(pictures) || ctx.Err() != nil {
				return ctx.Err()
			}
			e := &examples[i]
			*e = example{picture: i, class: pictures[i].Label}
			var broken error
			err := set.EachView(i, views, x, func(f *vision.Frame) { e.hash = dataset.Summarize(f).Hash },
				func(int) error {
					features := make([]float32, head.Width())
					if broken = n.Features(ctx, x, features); broken != nil {
						return broken
					}
					e.views = append(e.views, features)
					return nil
				})
			bar.One()
			if broken != nil {
				return broken
			}
			if e.err = err; err != nil {
				answers[i] = eval.Answer{Picture: pictures[i], Top: -1, Err: err}
				continue
			}
			head.Apply(e.views[0], logits)
			own := pictures[i]
			own.Label = known[own.Label]
			answers[i] = eval.NewAnswer(own, logits)
		}
	})
}
