package doctor

import (
	"os"
	"testing"

	"github.com/vggse/vggse-agent/camera/worker"
)

// TestMain lets the test binary be the process of a camera.
func TestMain(m *testing.M) {
	if worker.Asked(os.Args) {
		os.Exit(worker.Main())
	}
	os.Exit(m.Run())
}
