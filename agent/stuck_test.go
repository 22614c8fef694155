package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/agent/pipeline"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/mqtt"
)

// stuckPipeline is one that gives no frame and no error: OpenCV 4.6 waits for it for ever, 4.8 for
// its own limit.
const stuckPipeline = "gst:videotestsrc is-live=true ! video/x-raw,width=64,height=48 ! identity " +
	"sleep-time=1000000000 ! videoconvert ! video/x-raw,format=BGR ! appsink"

// beStuck is the environment variable that makes the test binary the process of
// TestStuckReadEndsTheProcess.
const beStuck = "VGGSE_TEST_STUCK"

// A read that hangs in C ends the process with code 75, and until then another camera goes on. It
// must be a process of its own: nothing else ends such a read.
func TestStuckReadEndsTheProcess(t *testing.T) {
	if s, err := camera.Open(t.Context(), camera.Config{Source: "test://"}); errors.Is(err, camera.ErrNoOpenCV) {
		t.Skip("built without OpenCV (tag gocv)")
	} else if err != nil {
		t.Fatal(err)
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), beStuck+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 75 ||
		!strings.Contains(string(out), "camera stuck: a read has not come back") {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "the other camera: ") {
		t.Errorf("the other camera did not go on:\n%s", out)
	}
}

// stuckProcess is that process; TestMain calls it.
func stuckProcess(ctx context.Context) error {
	open := func(source string) func(context.Context) (pipeline.Source, error) {
		return func(ctx context.Context) (pipeline.Source, error) {
			return camera.Open(ctx, camera.Config{Source: source})
		}
	}
	r := new(stubPublisher)
	p := stubPipeline(&stubNetwork{}, r,
		pipeline.Camera{Name: "stuck", Open: open(stuckPipeline), Slow: 6*time.Second - time.Minute},
		pipeline.Camera{Name: "fine", Open: open("demo://?fps=100&width=64&height=36")})
	p.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	link, err := mqtt.NewLink(mqttConfig(), mqtt.Identity{Device: "edge", Cameras: []string{"stuck", "fine"}}, p.Log)
	if err != nil {
		return err
	}
	o := &observer{host: Host{Log: p.Log, Watchdog: 300 * time.Millisecond, Stuck: func(err error) {
		for r.n.Load() < 200 {
			time.Sleep(time.Millisecond)
		}
		fmt.Println(err)
		fmt.Println("the other camera:", r.n.Load())
		os.Exit(75)
	}}, log: p.Log, pipeline: p, link: link, cameras: map[string]string{}}
	go o.tend(ctx)
	return p.Run(ctx)
}
