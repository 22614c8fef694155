package doctor

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/mqtt"
)

// checkOpenCV fails where a camera needs what this program does not have.
func checkOpenCV(_ context.Context, p *Target) []Finding {
	version := camera.OpenCVVersion()
	if version != "none" {
		backends := camera.OpenCVBackends()
		found := version + " with " + strings.Join(backends, ", ")
		// FFmpeg: GStreamer stands in
		if !slices.Contains(backends, "GStreamer") || !slices.Contains(backends, "V4L2") {
			return one("opencv", Warn, found,
				"some sources need GStreamer (CSI, pipelines) or V4L2 (USB): build with an OpenCV that has them "+
					"all, as 'make deps' does")
		}
		return one("opencv", OK, found, "")
	}
	for _, c := range p.Config.Cameras {
		if u, err := camera.ParseURI(c.Source); err == nil && c.Enabled && u.Scheme != "demo" && u.Scheme != "file" {
			return one("opencv", Fail, "none, and camera "+c.Name+" needs it", camera.ErrNoOpenCV.Error())
		}
	}
	return one("opencv", Warn, "none: pictures in PNG and demo:// only", camera.ErrNoOpenCV.Error())
}

// checkBundle hashes the network's file.
func checkBundle(ctx context.Context, p *Target) []Finding {
	const cure = "install the bundle again, or set model.bundle"
	b, err := bundle.Open(p.Config.Model.Bundle)
	if err != nil {
		return one("bundle", Fail, err.Error(), cure)
	}
	if err := b.CheckFile(ctx, bundle.FileFP32); err != nil {
		return one("bundle", Fail, err.Error(), cure)
	}
	return one("bundle", OK, fmt.Sprintf("%s %s, %d labels, digest as in its manifest", b.Spec.Name, b.Spec.Version,
		len(b.Spec.Labels)), "")
}

func checkCameras(ctx context.Context, p *Target) []Finding {
	var all []Finding
	for _, c := range p.Config.Cameras {
		if !c.Enabled {
			continue
		}
		f := Finding{Check: "camera", Status: OK, Found: c.Name + ": " + camera.Redact(c.Source)}
		u, err := camera.ParseURI(c.Source)
		switch {
		case err != nil:
			f.Status, f.Found = Fail, err.Error()
		case u.Scheme == "v4l2":
			lookAt(&f, u.Target)
		case u.Scheme == "file":
			if _, err := os.Stat(u.Target); err != nil && !strings.ContainsAny(u.Target, "*?[") {
				f.Status, f.Found, f.Cure = Fail, c.Name+": "+err.Error(), "correct the path of its source"
			}
		}
		all = append(all, f)
		if err == nil {
			all = append(all, checkElements(ctx, p, c.Name, &u)...)
		}
	}
	return all
}

// lookAt opens a video device, which starts nothing.
func lookAt(f *Finding, path string) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case os.IsNotExist(err):
		f.Status, f.Cure = Fail, "plug the camera in, or name another device: 'ls /dev/video*' lists them"
	case os.IsPermission(err):
		f.Status, f.Cure = Fail, "sudo usermod -aG video $USER, then log in again"
	case err != nil:
		f.Status, f.Cure = Warn, "end the program that uses it"
	default:
		file.Close()
		if who := users(path); len(who) > 0 {
			f.Status, f.Cure = Warn, "end the program that uses it, unless that is this agent's service"
			f.Found += ": busy, used by " + strings.Join(who, ", ")
		}
		return
	}
	f.Found += ": " + err.Error()
}

// users are the processes that have a device open, as far as this user may see: a camera is opened
// by many and streams for one.
func users(device string) []string {
	device, err := filepath.EvalSymlinks(device)
	if err != nil {
		return nil
	}
	var who []string
	open, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range open {
		if target, _ := os.Readlink(fd); target != device {
			continue
		}
		process := strings.Split(fd, "/")[2]
		name, _ := os.ReadFile("/proc/" + process + "/comm")
		if one := strings.TrimSpace(string(name)) + " (" + process + ")"; !slices.Contains(who, one) {
			who = append(who, one)
		}
	}
	return who
}

// elements are the names in a pipeline: the first word between two "!", unless it is caps
// (video/x-raw).
func elements(pipelineDir string) []string {
	var names []string
	for part := range strings.SplitSeq(pipelineDir, "!") {
		if words := strings.Fields(part); len(words) > 0 && element.MatchString(words[0]) {
			names = append(names, words[0])
		}
	}
	return names
}

var element = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// checkElements asks GStreamer for the elements of a camera's pipeline, where it has one.
func checkElements(ctx context.Context, p *Target, name string, u *camera.URI) []Finding {
	profile := camera.Generic
	if p.facts.Jetson() {
		profile = camera.Jetson
	}
	switch u.Scheme {
	case "csi", "gst", "rtp", "test":
	case "rtsp", "v4l2":
		if profile == camera.Generic {
			return nil // OpenCV's other backends
		}
	default:
		return nil
	}
	pipelineDir, err := u.Pipeline(profile)
	if err != nil {
		return one("elements", Fail, name+": "+err.Error(), "choose another source")
	}
	if _, err := exec.LookPath("gst-inspect-1.0"); err != nil {
		return one("elements", Warn, name+": not checked, gst-inspect-1.0 is not installed",
			"sudo apt install gstreamer1.0-tools")
	}
	var missing []string
	for _, e := range elements(pipelineDir) {
		if exec.CommandContext(ctx, "gst-inspect-1.0", "--exists", e).Run() != nil {
			missing = append(missing, e)
		}
	}
	if len(missing) > 0 {
		return one("elements", Fail, name+": GStreamer has no "+strings.Join(missing, ", "),
			"sudo apt install gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav; names with nv "+
				"come with JetPack's nvidia-l4t-gstreamer")
	}
	return one("elements", OK, name+": GStreamer has all of them", "")
}

// checkBroker connects, and says nothing to the broker.
func checkBroker(ctx context.Context, p *Target) []Finding {
	if p.Config.MQTT.Broker == mqtt.Embedded {
		return one("broker", OK, "embedded", "")
	}
	u, err := mqtt.ParseBroker(p.Config.MQTT.Broker)
	if err != nil {
		return one("broker", Fail, err.Error(), "correct mqtt.broker")
	}
	dialer := net.Dialer{Timeout: 3 * time.Second}
	c, err := dialer.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return one("broker", Fail, err.Error(),
			"start the broker, open its port in the firewall, or correct mqtt.broker")
	}
	c.Close()
	return one("broker", OK, u.Host+" answers", "")
}
