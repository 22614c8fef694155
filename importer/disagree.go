package importer

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
)

// compare notes where k and other say different things. Names that transformers makes up where
// nobody gave any are none.
func (k *known) compare(other *known) {
	if madeUpNames(k.labels) && len(other.labels) == len(k.labels) {
		k.labels = nil
	}
	switch mine, theirs := k.labels, other.labels; {
	case mine == nil || theirs == nil || slices.Equal(mine, theirs) || madeUpNames(theirs):
	case len(mine) != len(theirs):
		k.counts = cmp.Or(k.counts, fmt.Errorf("%s names %d classes, %s %d: give the right ones", k.labelsFrom,
			len(mine), other.labelsFrom, len(theirs)))
	case k.names == "":
		i := 0
		for mine[i] == theirs[i] {
			i++
		}
		k.names = fmt.Sprintf("%s and %s disagree: class %d is %q in the one, %q in the other; the former is taken "+
			"(--labels where it is wrong)", k.labelsFrom, other.labelsFrom, i, mine[i], theirs[i])
	}
	if k.recipes == "" && k.preprocess != "" && other.preprocess != "" && !k.preparesAs(other) {
		k.recipes = fmt.Sprintf("%s and %s disagree: the latter has %s for %d×%d; the former is taken (--preprocess "+
			"where it is wrong)", k.preprocessFrom, other.preprocessFrom, other.preprocess, other.height, other.width)
	}
}

// preparesAs tells whether both make the same numbers of a picture, however they put it.
func (k *known) preparesAs(other *known) bool {
	if k.height != other.height || k.width != other.width {
		return false
	}
	mine, err := ParsePreprocess(k.preprocess, k.height, k.width)
	theirs, err2 := ParsePreprocess(other.preprocess, other.height, other.width)
	if err != nil || err2 != nil {
		return k.preprocess == other.preprocess
	}
	for c := range 3 {
		if !near(mine.Mean[c], theirs.Mean[c]) || !near(mine.Std[c], theirs.Std[c]) {
			return false
		}
	}
	same := near(mine.Scale, theirs.Scale)
	mine.Scale, mine.Mean, mine.Std = theirs.Scale, theirs.Mean, theirs.Std
	return same && mine == theirs
}

// near tells whether two numbers are the same but for rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*max(math.Abs(a), math.Abs(b)) }

var madeUpName = regexp.MustCompile(`^LABEL_\d+$`)

// madeUpNames tells whether labels are LABEL_0, LABEL_1 …
func madeUpNames(labels []string) bool {
	return len(labels) > 0 && !slices.ContainsFunc(labels, func(l string) bool { return !madeUpName.MatchString(l) })
}

// like takes the recipe of a published network instead of what lies beside the model, and its labels
// where nothing there has any.
func (k *known) like(name string) error {
	r, err := recipe(name)
	if err != nil {
		return err
	}
	k.preprocess, k.preprocessFrom, k.height, k.width = r.preprocess, r.preprocessFrom, r.height, r.width
	k.recipes = ""
	if k.labels == nil {
		k.labels, k.labelsFrom = r.labels, r.labelsFrom
	}
	return nil
}
