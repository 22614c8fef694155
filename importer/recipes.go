package importer

import (
	_ "embed"
	"fmt"
	"strings"
)

// recipes is how torchvision and timm prepare pictures for the weights that they publish
// (recipes/make.py asks the two libraries).
//
//go:embed recipes/recipes.tsv
var recipes string

// imagenetLabels are torchvision's names of the 1000 classes.
//
//go:embed recipes/imagenet1k.txt
var imagenetLabels string

// meansAndStds are the short words of recipes.
var meansAndStds = map[string][2]string{
	"imagenet": {"0.485,0.456,0.406", "0.229,0.224,0.225"},
	"half":     {"0.5,0.5,0.5", "0.5,0.5,0.5"},
	"clip":     {"0.48145466,0.4578275,0.40821073", "0.26862954,0.26130258,0.27577711"},
}

// recipe finds what --like names.
func recipe(name string) (*known, error) {
	for line := range strings.Lines(recipes) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) < 5 || f[0] != name {
			continue
		}
		norm, ok := meansAndStds[f[4]]
		if !ok && len(f) > 5 {
			norm = [2]string{f[4], f[5]}
		}
		k := &known{preprocessFrom: "the table of recipes, " + name}
		k.height, k.width, _ = ParseInput(f[1])
		how := "resize=shortest-crop," + f[2]
		if squash, size, _ := strings.Cut(f[2], "="); squash == "squash" {
			if how = "resize=squash"; size != "" {
				how += ",size=" + size
			}
		}
		k.preprocess = fmt.Sprintf("%s,filter=%s,channels=rgb,exif=ignore,scale=1/255,mean=%s,std=%s", how, f[3],
			norm[0],
			norm[1])
		if strings.HasPrefix(name, "torchvision:") {
			k.labels, k.labelsFrom = strings.Split(strings.TrimSpace(imagenetLabels), "\n"), k.preprocessFrom
		}
		return k, nil
	}
	return nil, fmt.Errorf("no recipe for %q%s", name, nearRecipes(name))
}

// nearRecipes names a few recipes that begin alike.
func nearRecipes(name string) string {
	if !strings.HasPrefix(name, "torchvision:") && !strings.HasPrefix(name, "timm:") {
		return ": write torchvision:NAME or timm:NAME"
	}
	stem, _, _ := strings.Cut(name, ".")
	for ; len(stem) > len("timm:"); stem = stem[:len(stem)-1] {
		var near []string
		for line := range strings.Lines(recipes) {
			if known, _, _ := strings.Cut(line, "\t"); strings.HasPrefix(known, stem) && len(near) < 5 {
				near = append(near, known)
			}
		}
		if len(near) > 0 {
			return "; there are " + strings.Join(near, ", ")
		}
	}
	return ""
}
