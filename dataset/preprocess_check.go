package dataset

import (
	"fmt"
	"math"

	"github.com/vggse/vggse-agent/vision"
)

// Variant is another way in which pictures may have been meant to be prepared.
type Variant struct {
	Name       string // "with …"
	Preprocess vision.Preprocess
	SameRange  bool // as declared: then even small differences of the answers tell something
}

// Variants are the usual mistakes of a manifest, undone: the order of the channels, mean and
// standard deviation forgotten, bytes taken for 0 to 1 or the reverse.
func Variants(p vision.Preprocess) []Variant {
	swapped := p
	swapped.Channels = vision.ChannelsBGR
	if p.Channels == vision.ChannelsBGR {
		swapped.Channels = vision.ChannelsRGB
	}
	all := []Variant{{"with red and blue swapped", swapped, true}}
	add := func(name string, change func(*vision.Preprocess)) {
		q := p
		change(&q)
		all = append(all, Variant{Name: name, Preprocess: q})
	}
	usual := vision.Torchvision(224)
	plain := p.Mean == [3]float64{} && p.Std == [3]float64{1, 1, 1}
	switch {
	case plain:
		add("with ImageNet's mean and standard deviation", func(q *vision.Preprocess) {
			q.Scale, q.Mean,
				q.Std = usual.Scale, usual.Mean, usual.Std
		})
		add("brought to -1 … 1", func(q *vision.Preprocess) {
			q.Scale, q.Mean, q.Std = usual.Scale, [3]float64{0.5, 0.5, 0.5}, [3]float64{0.5, 0.5, 0.5}
		})
	default:
		add("without mean and standard deviation", func(q *vision.Preprocess) {
			q.Mean, q.Std = [3]float64{},
				[3]float64{1, 1, 1}
		})
	}
	if p.Scale >= 1 {
		add("with bytes over 255", func(q *vision.Preprocess) { q.Scale = p.Scale / 255 })
	} else {
		add("with bytes as they are", func(q *vision.Preprocess) { q.Scale = p.Scale * 255 })
	}
	return all
}

// Answer is what the network says of one picture: its label, -1 where unknown, and the logits.
type Answer struct {
	Label  int
	Logits []float32
}

// Limits of Suspect: what a variant must gain to be believed.
const (
	checkShare = 0.08 // of labelled pictures, and three times the noise of that
	checkNats  = 0.25 // of information where no labels are known, of the most that there can be
	checkSigma = 3    // standard errors of the mean gain in log Σ exp(logit), where the range is the same
)

// Suspect compares the answers with the declared preprocessing with those of each variant, to the
// first pictures in the same order. Where labels are known it asks which is right more often (three
// standard deviations of McNemar's test); else in which the answers say more about the pictures:
// each sure of its own, and not all the same (their mutual information). A variant of the same
// range that does neither may still fit better: a network is surest of what it was trained on (log
// Σ exp of the logits; Liu et al. 2020, "Energy-based Out-of-distribution Detection").
func CheckPreprocess(declared []Answer, variants []Variant, answers [][]Answer) []Finding {
	var worst *Finding
	most := 0.0
	for i, v := range variants {
		same := declared[:len(answers[i])]
		gain, evidence := against(same, answers[i])
		if evidence == "" && v.SameRange {
			gain, evidence = surer(same, answers[i])
		}
		if evidence != "" && gain > most {
			most = gain
			worst = &Finding{Check: "preprocessing", Severity: "warn", Evidence: fmt.Sprintf("%s %s", v.Name, evidence),
				Cure: "compare preprocess in model.yaml (channels, scale, mean, std) with what the network was " +
					"trained with, and the pictures' own colours"}
		}
	}
	if worst == nil {
		return nil
	}
	return []Finding{*worst}
}

// against is what b has over a, and the words for it where that is too much to be chance.
func against(a, b []Answer) (gain float64, evidence string) {
	won, lost, labelled, right := 0, 0, 0, 0
	for i := range a {
		if a[i].Label < 0 {
			continue
		}
		labelled++
		x, y := top(a[i].Logits) == a[i].Label, top(b[i].Logits) == a[i].Label
		switch {
		case x:
			right++
			if !y {
				lost++
			}
		case y:
			won++
		}
	}
	if labelled > len(a)/2 {
		d := float64(won - lost)
		if d >= 3*math.Sqrt(float64(won+lost)) && d >= checkShare*float64(labelled) {
			return d, fmt.Sprintf("the network is right on %d of %d pictures, as declared on %d", right+won-lost,
				labelled, right)
		}
		return 0, ""
	}
	x, y := information(a), information(b)
	limit := math.Log(float64(min(len(a), len(a[0].Logits))))
	if y-x > checkNats*limit {
		return y - x, fmt.Sprintf("the answers of the network tell %.0f %% of what they could about the pictures, "+
			"as declared %.0f %%", 100*y/limit, 100*x/limit)
	}
	return 0, ""
}

// surer tells whether the network is surer with b than with a, picture by picture.
func surer(a, b []Answer) (gain float64, evidence string) {
	var sum, squares float64
	n := float64(len(a))
	for i := range a {
		d := energy(b[i].Logits) - energy(a[i].Logits)
		sum, squares = sum+d, squares+d*d
	}
	mean := sum / n
	err := math.Sqrt(max(1e-12, squares/n-mean*mean) / n)
	if n < 30 || mean < checkSigma*err {
		return 0, ""
	}
	return mean, fmt.Sprintf("the network is surer of its answers: log Σ exp of the logits gains %.4f ± %.4f over "+
		"%d pictures", mean, err, len(a))
}

func energy(logits []float32) float64 {
	highest, sum := math.Inf(-1), 0.0
	for _, v := range logits {
		highest = max(highest, float64(v))
	}
	for _, v := range logits {
		sum += math.Exp(float64(v) - highest)
	}
	return highest + math.Log(sum)
}

func top(logits []float32) int {
	if t := vision.TopK(nil, logits, 1); len(t) == 1 {
		return t[0]
	}
	return -1
}

// information is the mutual information of pictures and answers in nats: the entropy of the mean
// softmax less the mean of the entropies. Logits are brought to one spread first, as an input that
// is too large makes any answer sure.
func information(answers []Answer) float64 {
	if len(answers) == 0 || len(answers[0].Logits) == 0 {
		return 0
	}
	classes := len(answers[0].Logits)
	mean, inside := make([]float64, classes), 0.0
	unit := spread / max(spreadOf(answers), 1e-9)
	p, scaled := make([]float32, classes), make([]float32, classes)
	for _, a := range answers {
		for k, v := range a.Logits {
			scaled[k] = float32(float64(v) * unit)
		}
		vision.Softmax(p, scaled)
		for k, v := range p {
			mean[k] += float64(v) / float64(len(answers))
			inside += entropyOf(float64(v)) / float64(len(answers))
		}
	}
	whole := 0.0
	for _, p := range mean {
		whole += entropyOf(p)
	}
	return whole - inside
}

// spread is the standard deviation that logits are brought to: about that of a trained network of
// ten classes.
const spread = 4

// spreadOf is the root mean square of the logits around the mean of their picture.
func spreadOf(answers []Answer) float64 {
	sum, n := 0.0, 0.0
	for _, a := range answers {
		mean := 0.0
		for _, v := range a.Logits {
			mean += float64(v) / float64(len(a.Logits))
		}
		for _, v := range a.Logits {
			sum, n = sum+(float64(v)-mean)*(float64(v)-mean), n+1
		}
	}
	return math.Sqrt(sum / max(1, n))
}

func entropyOf(p float64) float64 {
	if p <= 0 {
		return 0
	}
	return -p * math.Log(p)
}
