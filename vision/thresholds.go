package vision

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// ClassThreshold is the score below which one class does not count, in place of
// DecideConfig.Threshold.
type ClassThreshold struct {
	Label string
	Score float64 // 0..1
}

// MostThresholds is how many classes may have one of their own.
const MostThresholds = 1000

// ParseThresholds reads what DecideConfig.Thresholds holds: "LABEL SCORE" each, a label once.
func ParseThresholds(lines []string) ([]ClassThreshold, error) {
	if len(lines) > MostThresholds {
		return nil, fmt.Errorf("decide.thresholds: at most %d, got %d", MostThresholds, len(lines))
	}
	all := make([]ClassThreshold, 0, len(lines))
	for i, line := range lines {
		line = strings.TrimSpace(line)
		at := strings.LastIndexAny(line, " \t")
		score, err := strconv.ParseFloat(line[at+1:], 64)
		if at < 0 || err != nil || !(score >= 0 && score <= 1) || strings.ContainsRune(":=", rune(line[max(at-1, 0)])) {
			return nil, fmt.Errorf("decide.thresholds[%d]: must be a label and a score from 0 to 1, as in 'gear 0.8', "+
				"got %q", i, line)
		}
		one := ClassThreshold{strings.TrimSpace(line[:at]), score}
		if slices.ContainsFunc(all, func(t ClassThreshold) bool { return t.Label == one.Label }) {
			return nil, fmt.Errorf("decide.thresholds[%d]: %s stands there twice", i, one.Label)
		}
		all = append(all, one)
	}
	return all, nil
}

// FormatThresholds is the way back, by label.
func FormatThresholds(all []ClassThreshold) []string {
	lines := make([]string, 0, len(all))
	for _, t := range all {
		lines = append(lines, t.Label+" "+strconv.FormatFloat(t.Score, 'f', -1, 64))
	}
	slices.Sort(lines)
	return lines
}

// UnknownLabels are the labels of thresholds that are none of labels.
func UnknownLabels(all []ClassThreshold, labels []string) (unknown []string) {
	for _, t := range all {
		if !slices.Contains(labels, t.Label) {
			unknown = append(unknown, t.Label)
		}
	}
	return unknown
}

// limits are the score of each class below which it does not count.
type limits struct {
	all        float64   // of those without one of their own
	own        []float64 // NaN: none
	hysteresis float64
	least      []float32 // for a class that is the best
	held       []float32 // and for the one that holds
}

func newLimits(classes int, hysteresis float64) limits {
	l := limits{all: -1, own: make([]float64, classes), hysteresis: hysteresis, least: make([]float32, classes),
		held: make([]float32, classes)}
	l.setOwn(nil, nil)
	return l
}

// set replaces the score of classes without one of their own; it does nothing where that is the same.
func (l *limits) set(score float64) {
	if score == l.all {
		return
	}
	l.all = score
	for i, own := range l.own {
		if math.IsNaN(own) {
			own = score
		}
		l.least[i], l.held[i] = float32(own), float32(own-l.hysteresis)
	}
}

// setOwn replaces those of their own; labels that are not there are passed over.
func (l *limits) setOwn(all []ClassThreshold, labels []string) {
	for i := range l.own {
		l.own[i] = math.NaN()
	}
	for _, t := range all {
		if i := slices.Index(labels, t.Label); i >= 0 {
			l.own[i] = t.Score
		}
	}
	score := l.all
	l.all = math.NaN()
	l.set(score)
}
