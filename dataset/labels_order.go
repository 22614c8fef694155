package dataset

import (
	"fmt"
	"strings"
)

// Bounds of LabelOrder: how many pictures of a folder must agree on another label, and how much of
// all pictures that has to explain.
const (
	orderLeast  = 3
	mostInOrder = 50
	orderShare  = 0.6
)

// LabelOrder finds labels that stand in another order than the folders prove: where the network
// answers most pictures of a folder with one other label, and each folder with one of its own.
func LabelOrder(summaries []Summary, labels []string) []Finding {
	counts, of := map[[2]int]int{}, map[int]int{}
	known, right := 0, 0
	for _, s := range summaries {
		if s.Class < 0 || s.Guess < 0 {
			continue
		}
		counts[[2]int{s.Class, s.Guess}]++
		of[s.Class]++
		known++
		if s.Class == s.Guess {
			right++
		}
	}
	taken, explained, moved := map[int]string{}, 0, []string{}
	for class := range labels {
		best := class
		for guess := range labels {
			if counts[[2]int{class, guess}] > counts[[2]int{class, best}] {
				best = guess
			}
		}
		n := counts[[2]int{class, best}]
		if of[class] < orderLeast || float64(n) < orderShare*float64(of[class]) || taken[best] != "" {
			continue
		}
		taken[best] = labels[class]
		explained += n
		if best != class {
			moved = append(moved, fmt.Sprintf("%s is answered as %s", labels[class], labels[best]))
		}
	}
	if len(moved) < 2 || float64(explained) < orderShare*float64(known) || 2*right >= explained {
		return nil
	}
	if len(moved) > 10 {
		moved = append(moved[:10], "…")
	}
	return []Finding{{"label order", "warn",
		fmt.Sprintf("the labels stand in another order than in the training: %d of "+
			"%d pictures are wrong, and of folders %s", known-right, known, strings.Join(moved, ", ")),
		orderCure(taken, len(labels))}}
}

// orderCure names the order where every label of n has its place; rows are what the network answers
// as, with the folder that it belongs to.
func orderCure(rows map[int]string, n int) string {
	cure := "put the labels into the order of the training (import --labels"
	if len(rows) == n && n <= mostInOrder {
		order := make([]string, n)
		for row, label := range rows {
			order[row] = label
		}
		cure += " " + strings.Join(order, ",")
	}
	return cure + ")"
}
