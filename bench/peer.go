package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vggse/vggse-agent/demo"
	"github.com/vggse/vggse-agent/vision"
)

// film is an H.264 file of the demo's conveyor, 30 frames a second.
type film struct{ width, height, frames int }

// write makes the file with FFmpeg, at 4 Mbit/s for 1280×720.
func (f film) write(ctx context.Context, path string) error {
	size, rate := fmt.Sprintf("%dx%d", f.width, f.height), fmt.Sprintf("%dk", f.width*f.height*4000/(1280*720))
	cmd := exec.CommandContext(ctx, "ffmpeg", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s",
		size, "-r", "30",
		"-i", "-", "-c:v", "libx264", "-preset", "veryfast", "-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-bf",
		"0", "-g", "60", "-pix_fmt", "yuv420p", path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	scene, frame := demo.NewScene(1, f.width, f.height), vision.Frame{}
	for i := range f.frames {
		scene.Render(uint64(i), &frame)
		if _, err := in.Write(frame.Pix); err != nil {
			break // FFmpeg says why
		}
	}
	in.Close()
	return cmd.Wait()
}

// peers are the numbers of agent, script and bare loop on the same bundle, pair by pair.
type peers struct {
	agent, script []*job
	bareRate      []float64
	bareStart     []float64 // seconds: a bare process that loads the session and runs it once
}

// compare runs agent and script in turn on the same video, with a bare loop between them.
func (o *options) compare(ctx context.Context, bundleDir string, threads int, f film, n int) (*peers, error) {
	file := filepath.Join(o.scratch, fmt.Sprintf("conveyor-%dx%d-%d.mp4", f.width, f.height, f.frames))
	if err := f.write(ctx, file); err != nil {
		return nil, fmt.Errorf("ffmpeg: %w", err)
	}
	l, err := listen(ctx)
	if err != nil {
		return nil, fmt.Errorf("mosquitto: %w", err)
	}
	defer l.close()
	p := &peers{}
	for range n {
		if err := p.bare(ctx, bundleDir, threads); err != nil {
			return nil, err
		}
		a, err := l.run(ctx, f.frames, o.agent, "run", "--bundle", bundleDir, "--source", "file://"+file+"?speed=max",
			"--broker", "tcp://"+l.address,
			"--set", "infer.providers=cpu", "--set", "infer.threads="+strconv.Itoa(threads),
			"--set", "mqtt.publish.every=true", "--set", "mqtt.qos=0")
		if err != nil {
			return nil, err
		}
		s, err := l.run(ctx, f.frames, o.python, filepath.Join("bench", "peer", "peer.py"), bundleDir, file,
			"--broker", l.address,
			"--threads", strconv.Itoa(threads))
		if err != nil {
			return nil, err
		}
		p.agent, p.script = append(p.agent, a), append(p.script, s)
	}
	return p, nil
}

// bare runs this program again as "bare": what a session alone needs to start, and how fast it
// loops.
func (p *peers) bare(ctx context.Context, bundleDir string, threads int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-threads", strconv.Itoa(threads), "bare", bundleDir)
	cmd.Stderr = os.Stderr
	start := time.Now()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var line struct{ Rate float64 }
	buffer := make([]byte, 1)
	if _, err := out.Read(buffer); err == nil { // the first byte comes after the first run
		p.bareStart = append(p.bareStart, time.Since(start).Seconds())
	}
	if err := json.NewDecoder(out).Decode(&line); err != nil {
		return fmt.Errorf("bare: %w", err)
	}
	p.bareRate = append(p.bareRate, line.Rate)
	return cmd.Wait()
}

// scriptOutside is the CPU that the script spends outside its own run on a frame of a ring in
// memory.
func (o *options) scriptOutside(ctx context.Context, l *listener, bundleDir, file string, frames int) (float64, error) {
	out, err := exec.CommandContext(ctx, o.python, filepath.Join("bench", "peer", "peer.py"), bundleDir, file,
		"--broker", l.address,
		"--threads", "1", "--ring", "16", "--frames", strconv.Itoa(frames)).Output()
	if err != nil {
		return 0, fmt.Errorf("peer.py: %w", err)
	}
	var line struct {
		Frames float64
		CPU    float64 `json:"cpu_s"`
		Run    float64 `json:"cpu_in_run_s"`
	}
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&line); err != nil {
		return 0, fmt.Errorf("peer.py: %w", err)
	}
	return 1000 * (line.CPU - line.Run) / line.Frames, nil
}
