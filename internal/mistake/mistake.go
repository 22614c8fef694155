// Package mistake words what people wrote wrong: the word that they may have meant, and the first few of
// many.
package mistake

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Nearest is the word of a set that another, which is none of it, may have been meant for; "" where none
// is near. Capitals count for nothing. Of equals the first is taken.
func Nearest(word string, set []string) string {
	word = strings.ToLower(word)
	best, distance, begun := "", len(word), 0
	for _, candidate := range set {
		lower := strings.ToLower(candidate)
		if d := levenshtein(word, lower); d < distance {
			best, distance = candidate, d
		}
		if strings.HasPrefix(lower, word) {
			begun++
		}
	}
	near := distance <= len(word)/2+1 && (distance*2 <= len(best) || distance <= 2)
	if best != "" && near {
		return best
	}
	if len(word) > 2 && begun == 1 {
		for _, candidate := range set {
			if strings.HasPrefix(strings.ToLower(candidate), word) {
				return candidate
			}
		}
	}
	return ""
}

// DidYouMean is the end of a sentence about a word that is none of a set, ", did you mean run?"; "" where
// none is near.
func DidYouMean(word string, set []string) string {
	if near := Nearest(word, set); near != "" {
		return fmt.Sprintf(", did you mean %s?", near)
	}
	return ""
}

// levenshtein is the number of bytes to add, drop or change to come from a to b.
func levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// most are told at a time.
const most = 5

// Together is one error of several: the first few of them, and how many more there are; nil of none.
func Together(all []error) error {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	texts := make([]string, 0, most+1)
	for _, err := range all[:min(len(all), most)] {
		texts = append(texts, err.Error())
	}
	if more := len(all) - most; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return errors.New(strings.Join(texts, "; "))
}

// forShell is what a shell fills in.
var forShell = regexp.MustCompile(`^~\w*(/|$)|(^|/)\$[A-Za-z_]\w*(/|$)`)

// ForShell tells whether a path begins with ~ or has a part $NAME, which only a shell fills in.
func ForShell(path string) bool { return forShell.MatchString(path) }
