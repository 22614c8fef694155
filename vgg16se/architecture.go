package vgg16se

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
)

// Architecture says which VGG16-SE, or VGG11, 13 or 19. A zero field means the article's value.
type Architecture struct {
	InputSize int     // height and width of the picture in pixels; 224
	Width     float64 // factor on the channels 64, 128, 256, 512, 512; 1.0
	Reduction int     // channels of a stage over neurons of its SE block; 16
	Hidden    int     // neurons of the first fully connected layer; 4096
	Hidden2   int     // neurons of the second; as Hidden
	PoolSize  int     // height and width after the adaptive average pool; 7
	Classes   int     // 1000
	Attention Attention
	Depths    [5]int // convolutions of each stage; 2, 2, 3, 3, 3

	// A network of irregular widths, as pruning leaves it, has these instead of Width and
	// Reduction.
	Channels [16]int // of the convolutions, in their order; 0 means what Width says
	Squeezed [5]int  // neurons of the attention blocks; 0 means what Reduction says
}

// Full returns a with every zero field replaced by what it means.
func (a Architecture) Full() Architecture {
	orElse(&a.InputSize, 224)
	orElse(&a.Width, 1)
	orElse(&a.Reduction, 16)
	orElse(&a.Hidden, 4096)
	orElse(&a.Hidden2, a.Hidden)
	orElse(&a.PoolSize, 7)
	orElse(&a.Classes, 1000)
	orElse(&a.Attention, SE)
	orElse(&a.Depths, vgg16)
	return a
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// smallestInput is the smallest picture that five max-pools, each halving and rounding down, leave
// a pixel of.
const smallestInput = 32

// limit keeps every product of two sizes far from overflow.
const limit = bundle.MostOfOne

// Validate returns the first field that cannot be.
func (a Architecture) Validate() error {
	a = a.Full()
	if a.InputSize < smallestInput && a.InputSize > 0 {
		return fmt.Errorf("vgg16se: an input of %d×%d dies on the way through five max-pools: the smallest that "+
			"works is %d", a.InputSize, a.InputSize, smallestInput)
	}
	if !(a.Width > 0 && a.Width <= bundle.MostWidth) {
		return fmt.Errorf("vgg16se: width must be > 0 and ≤ %d, got %g", bundle.MostWidth, a.Width)
	}
	for _, f := range []struct {
		name string
		v    int
	}{{"input size", a.InputSize}, {"reduction", a.Reduction}, {"hidden", a.Hidden}, {"second hidden", a.Hidden2},
		{"pool size", a.PoolSize}, {"classes", a.Classes}} {
		if f.v < 1 || f.v > limit {
			return fmt.Errorf("vgg16se: %s must be from 1 to %d, got %d", f.name, limit, f.v)
		}
	}
	if !slices.Contains(configurations, a.Depths) {
		return fmt.Errorf("vgg16se: depths %v are none of the VGG article's: %v", a.Depths, configurations)
	}
	if _, ok := gates[a.Attention]; !ok && a.Attention != None {
		return fmt.Errorf("vgg16se: attention %q is none of %v", a.Attention, Attentions)
	}
	for _, n := range slices.Concat(a.Channels[:], a.Squeezed[:]) {
		if n < 0 || n > limit {
			return fmt.Errorf("vgg16se: channels and squeezed must be from 0 to %d, got %d", limit, n)
		}
	}
	return nil
}

// configurations are the convolutions of each stage in the VGG article's A, B, D and E (arXiv
// 1409.1556, table 1), which torchvision calls vgg11, 13, 16 and 19; channels what they put out at
// width 1.
var (
	vgg16          = [5]int{2, 2, 3, 3, 3}
	configurations = [][5]int{{1, 1, 2, 2, 2}, {2, 2, 2, 2, 2}, vgg16, {2, 2, 4, 4, 4}}
	channels       = [5]int{64, 128, 256, 512, 512}
)

// Convolutions counts the 3×3 convolutions.
func (a Architecture) Convolutions() int {
	n := 0
	for _, depth := range a.Full().Depths {
		n += depth
	}
	return n
}

// conv returns the output channels of convolution k, from 0, which is in stage i.
func (a Architecture) conv(k, i int) int {
	if a.Channels[k] > 0 {
		return a.Channels[k]
	}
	return max(1, int(math.Round(float64(channels[i])*a.Width)))
}

// squeezed returns the neurons of the attention block of stage i, which has c channels.
func (a Architecture) squeezed(i, c int) int {
	if a.Squeezed[i] > 0 {
		return a.Squeezed[i]
	}
	return max(1, c/a.Reduction)
}

// mapSize is the height and width of what the last max-pool leaves.
func (a Architecture) mapSize() int { return a.InputSize >> 5 }

// String names the architecture as a person would: "VGG16-SE 96×96, width 0.25, …".
func (a Architecture) String() string {
	a = a.Full()
	s, se := fmt.Sprintf("VGG%d", a.Convolutions()+3), ""
	if g, ok := gates[a.Attention]; ok {
		s += "-" + g.op
	}
	if a.Attention != None && a.Attention != SSE && a.Squeezed == [5]int{} {
		se = fmt.Sprintf(", reduction %d", a.Reduction)
	}
	width := fmt.Sprintf("width %g", a.Width)
	if a.Channels != [16]int{} {
		width = "channels " + strings.Trim(fmt.Sprint(a.Channels[:a.Convolutions()]), "[]")
	}
	hidden := fmt.Sprint(a.Hidden)
	if a.Hidden2 != a.Hidden {
		hidden = fmt.Sprintf("%d and %d", a.Hidden, a.Hidden2)
	}
	return fmt.Sprintf("%s %d×%d, %s%s, hidden %s, pool %d×%d, %d classes",
		s, a.InputSize, a.InputSize, width, se, hidden, a.PoolSize, a.PoolSize, a.Classes)
}
