package importer

import (
	"strings"
	"testing"

	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// TestSeveralNetworks: of networks that nothing tells apart none is taken; all are named, with how to
// choose, and a set that is less likely the network is no reason to ask.
func TestSeveralNetworks(t *testing.T) {
	const two = "holds 2 networks of one shape: choose by --key "
	for want, file := range map[string]*checkpoint.File{
		"":                         {Key: "state_dict", Others: []string{"ema"}},
		two + "best or --key last": {Key: "best", Others: []string{"last", "o"}, Rivals: []string{"last"}},
		two + "student or --key teacher (a teacher of its student's shape is mostly the student's average over time, " +
			"and then the one to use)": {Key: "student", Others: []string{"teacher"}, Rivals: []string{"teacher"}},
	} {
		err := oneOf(file)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%s: got %v, want %s", strings.Join(file.Others, " "), err, want)
		}
	}
}
