package vgg16se

import (
	"fmt"
	"slices"
)

// Attention is what stands at the end of each stage, before its max-pool. The article builds SE and
// names the others as ways on (its section 8.2). "" means SE.
type Attention string

// The kinds of attention. U is what comes into the block, σ the sigmoid, W a matrix without bias.
const (
	SE Attention = "se" // σ(W2·relu(W1·mean(U)))·U (Hu et al., arXiv 1709.01507, equations 2 to 4)
	// σ(w∗U)·U, w a 1×1 convolution to one channel (Roy et al., arXiv 1803.02579, spatial squeeze)
	SSE  Attention = "sse"
	SCSE Attention = "scse" // the sum of SE and SSE (Roy et al., concurrent squeeze)
	BAM  Attention = "bam"  // U + U·σ(channels(U) + places(U)) (Park et al., arXiv 1807.06514, equations 1 to 4)
	CBAM Attention = "cbam" // channels first, then places (Woo et al., arXiv 1807.06521, equations 1 to 3)
	// SE with a bias behind both matrices, as torchvision's SqueezeExcitation and timm's have it
	SEBias Attention = "se-bias"
	None   Attention = "none" // plain VGG16, numbered as torchvision's
)

// Attentions lists the kinds.
var Attentions = []Attention{SE, SEBias, SSE, SCSE, BAM, CBAM, None}

// Set makes an Attention a command-line flag.
func (a *Attention) Set(s string) error {
	if !slices.Contains(Attentions, Attention(s)) {
		return fmt.Errorf("attention %q is none of %v", s, Attentions)
	}
	*a = Attention(s)
	return nil
}

// Type and String are the flag's other two words.
func (a *Attention) Type() string { return "KIND" }

func (a Attention) String() string { return string(a) }

// dilation is that of BAM's two 3×3 convolutions (Park et al., section 3.1).
const dilation = 4

// gate describes the block of one kind for c channels, squeezed to r of them, on a map of area
// places.
type gate struct {
	op     string
	params func(c, r int) []Param
	macs   func(c, r, area int64) int64
}

var gates = map[Attention]gate{
	SE: {OpSE, func(c, r int) []Param { return mlp("fc", c, r) },
		func(c, r, area int64) int64 { return 2*c*area + 2*c*r }},
	SEBias: {OpSE, func(c, r int) []Param {
		p := mlp("fc", c, r)
		return []Param{p[0], {"fc.0.bias", []int{r}}, p[1], {"fc.2.bias", []int{c}}}
	}, func(c, r, area int64) int64 { return 2*c*area + 2*c*r }},
	SSE: {OpSSE, func(c, _ int) []Param { return []Param{{"conv.weight", []int{1, c, 1, 1}}} },
		func(c, _, area int64) int64 { return 2 * c * area }},
	SCSE: {OpSCSE, func(c, r int) []Param { return append(mlp("fc", c, r), Param{"conv.weight", []int{1, c, 1, 1}}) },
		func(c, r, area int64) int64 { return 3*c*area + 2*c*r }},
	BAM: {OpBAM, bamParams,
		func(c, r, area int64) int64 { return 2*c*area + 2*c*r + (c*r+18*r*r+r)*area }},
	CBAM: {OpCBAM, func(c, r int) []Param {
		return append(mlp("mlp", c, r),
			Param{"spatial.weight", []int{1, 2, 7, 7}})
	},
		func(c, r, area int64) int64 { return 4*c*area + 4*c*r + 98*area }},
}

// mlp is the bottleneck that all but SSE have, under PyTorch's numbers: its ReLU is module 1.
func mlp(name string, c, r int) []Param {
	return []Param{{name + ".0.weight", []int{r, c}}, {name + ".2.weight", []int{c, r}}}
}

// bamParams are those of the block with its two batch normalizations folded in.
func bamParams(c, r int) []Param {
	return []Param{
		{"channel.0.weight", []int{r, c}}, {"channel.0.bias", []int{r}},
		{"channel.2.weight", []int{c, r}}, {"channel.2.bias", []int{c}},
		{"spatial.0.weight", []int{r, c, 1, 1}}, {"spatial.0.bias", []int{r}},
		{"spatial.2.weight", []int{r, r, 3, 3}}, {"spatial.2.bias", []int{r}},
		{"spatial.4.weight", []int{r, r, 3, 3}}, {"spatial.4.bias", []int{r}},
		{"spatial.6.weight", []int{1, r, 1, 1}}, {"spatial.6.bias", []int{1}},
	}
}

// bamNorms are its batch normalizations in the checkpoint, and what they stand behind.
var bamNorms = map[string]string{"channel.2": "channel.3", "spatial.6": "spatial.7"}
