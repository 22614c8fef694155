package teach

import (
	"fmt"
	"math"
	"slices"

	"github.com/vggse/vggse-agent/eval"
	"github.com/vggse/vggse-agent/vision"
)

// Without a limit, pictures of old labels may be lost to new ones as often as the likelihood has it.
const noLimit = 1

// unsure is how many standard deviations of what the old labels lose to each other are counted as lost,
// too: 80 % of such losses are smaller.
const unsure = 0.8416

// caution is what is to be taken from the logits of the labels from known on, so that of the pictures of the
// others that are to come the share mayLose is lost, as the held-out ones say: those that the layer of before
// answers rightly, before, and this one does not, less the other way round. It is not within where even
// without any answer of a new label more is lost, to other old ones.
func caution(logits []vision.Logits, class []int, before []bool, known int,
	mayLose float64) (less float64, within bool) {
	var ahead []float64 // by how much a new label is, of a right answer
	n, lost, gained := 0.0, 0.0, 0.0
	for i, row := range logits {
		if row == nil || class[i] < 0 || class[i] >= known {
			continue
		}
		own, right := row[class[i]], row[class[i]] == slices.Max(row[:known])
		n++
		switch {
		case before[i] && !right:
			lost++
		case right && !before[i]:
			gained++
		}
		if right && known < len(row) {
			ahead = append(ahead, float64(slices.Max(row[known:])-own))
		}
	}
	if mayLose >= noLimit || n == 0 {
		return 0, true
	}
	budget := mayLose*n - (lost - gained) - unsure*math.Sqrt(lost+gained)
	slices.Sort(ahead)
	slices.Reverse(ahead)
	return max(0, exceeded(ahead, max(leastLost, budget))), budget >= 0
}

// What exceeded goes by: so much of a picture is the least that it is asked for.
const (
	tailShare = 0.05
	leastTail = 10
	leastLost = 0.5
)

// exceeded is the number that so many of as many values to come as there are, the largest first, exceed. Where
// they are so few that chance decides which, a tail that falls exponentially is fitted to the largest twentieth.
func exceeded(values []float64, few float64) float64 {
	tail := max(leastTail, int(tailShare*float64(len(values))))
	switch {
	case len(values) == 0:
		return 0
	case int(few) >= len(values):
		return values[len(values)-1]
	case few >= leastTail || tail >= len(values):
		return values[int(few)]
	}
	least, mean := values[tail], 0.0
	for _, v := range values[:tail] {
		mean += (v - least) / float64(tail)
	}
	return least + mean*math.Log(float64(tail)/few)
}

// price says what the limit on the loss of old labels costs, where it costs something: free is what
// would be chosen without it.
func (r *Report) price(l *learner, before []eval.Answer, c, free *chosen) {
	if c.caution == 0 {
		return
	}
	_, found := l.tell(before, c)
	lost, more := l.tell(before, free)
	if more <= found {
		return
	}
	r.find("caution", fmt.Sprintf("new labels answer only where few pictures of the old ones are lost to them "+
		"(%.3g points may be): %.0f %% of their pictures are found. Without this it would be %.0f %%, and %.1f points "+
		"of the old ones would be lost", 100*r.MayLose, 100*found, 100*more, 100*lost),
		"--old-may-lose POINTS, where the new labels are worth that; or pictures that show them more clearly")
}

// tell is which share of the old labels' pictures is lost, and which of the new ones' is found.
func (l *learner) tell(before []eval.Answer, c *chosen) (lost, found float64) {
	var old, fresh float64
	for i, row := range c.logits {
		if row == nil {
			continue
		}
		class := l.examples[i].class // witnesses, too
		right := row[class] == slices.Max(row)
		switch {
		case class >= l.head.Classes():
			fresh++
			if right {
				found++
			}
			continue
		case before[i].Top == class && !right:
			lost++
		case before[i].Top != class && right:
			lost--
		}
		old++
	}
	return lost / max(1, old), found / max(1, fresh)
}
