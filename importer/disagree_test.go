package importer

import (
	"slices"
	"testing"
)

// A published network's recipe says how pictures are prepared; the classes that lie beside the model
// are its own, whatever the published one had.
func TestLikeKeepsTheLabelsBeside(t *testing.T) {
	own := &known{labels: []string{"ok", "scratched"}, labelsFrom: "labels.txt", preprocess: "resize=squash",
		preprocessFrom: "config.json", recipes: "config.json and another disagree"}
	none := &known{}
	for _, k := range []*known{own, none} {
		if err := k.like("torchvision:resnet50"); err != nil {
			t.Fatal(err)
		}
		if k.height != 224 || k.preprocessFrom != "the table of recipes, torchvision:resnet50" || k.recipes != "" {
			t.Errorf("prepared as %+v", k)
		}
	}
	if !slices.Equal(own.labels, []string{"ok", "scratched"}) || own.labelsFrom != "labels.txt" {
		t.Errorf("labels %v from %s", own.labels, own.labelsFrom)
	}
	if len(none.labels) != 1000 {
		t.Errorf("%d labels where nothing lies beside", len(none.labels))
	}
}
