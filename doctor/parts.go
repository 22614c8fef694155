package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/camera/worker"
	"github.com/vggse/vggse-agent/internal/redact"
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
		if u, err := camera.ParseURI(c.Source); err == nil && c.Enabled && !u.Drawn() && u.Scheme != "file" {
			return one("opencv", Fail, "none, and camera "+c.Name+" needs it", camera.ErrNoOpenCV.Error())
		}
	}
	return one("opencv", Warn, "none: pictures in PNG, demo:// and test:// only", camera.ErrNoOpenCV.Error())
}

// checkBundle hashes the network's file.
func checkBundle(ctx context.Context, p *Target) []Finding {
	const cure = "install the bundle again, or set model.bundle"
	b, err := bundle.Open(p.Config.Model.Bundle)
	if err != nil {
		return one("bundle", Fail, err.Error(), cure)
	}
	key := bundle.FileFP32
	for _, other := range []string{bundle.FileINT8TRT11, bundle.FileINT8TRT, bundle.FileINT8CPU, bundle.FileFP16} {
		if _, there := b.Spec.Files[other]; there && slices.Contains(b.Absent, key) {
			key = other // the network's file that this device fetched
		}
	}
	if err := b.CheckFile(ctx, key); err != nil {
		return one("bundle", Fail, err.Error(), cure)
	}
	found := fmt.Sprintf("%s %s, %d labels, digest as in its manifest", b.Spec.Name, b.Spec.Version, len(b.Spec.Labels))
	if len(b.Absent) > 0 {
		found += ", without " + strings.Join(b.Absent, ", ")
	}
	return one("bundle", OK, found, "")
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
		default:
			tryOpen(ctx, &f, c.Source)
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
	case "csi", "gst", "rtp":
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

// loginLimit is how long the broker may take.
const loginLimit = 10 * time.Second

// checkBroker logs in as the agent does, under another client id, and sends itself an empty
// message.
func checkBroker(ctx context.Context, p *Target) []Finding {
	c := p.Config.MQTT
	if c.Broker == mqtt.Embedded {
		return one("broker", OK, "embedded", "")
	}
	u, err := mqtt.ParseBroker(c.Broker)
	if err != nil {
		return one("broker", Fail, err.Error(), "correct mqtt.broker")
	}
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	if err := mqtt.Login(ctx, c, p.Config.Device.ID); err != nil {
		said, cure := c.Why(err)
		return one("broker", Fail, redact.Text(u.Host+": "+said), brokerCure(said, cure))
	}
	return one("broker", OK, u.Host+" takes the login, and lets the device's topics be written and read", "")
}

// brokerCure is what to look at, by what the broker or the network said.
func brokerCure(said, cure string) string {
	switch {
	case cure == "" && strings.HasPrefix(said, "mqtt."):
		return "correct the file that the key names, or its rights"
	case strings.Contains(said, "subscription"), strings.Contains(said, "may this user"):
		return "let this user read and write the device's topics in the broker's access rules"
	}
	return cmp.Or(cure, "start the broker, or correct mqtt.broker")
}

// checkFiles reads the files that the settings of HTTP name.
func checkFiles(_ context.Context, p *Target) []Finding {
	if err := p.Config.HTTP.CheckFiles(); err != nil {
		return one("http", Fail, err.Error(), "make the file, or correct http.token_file")
	}
	if h := &p.Config.HTTP; !h.Off() && !h.Local() && h.TLS.Cert == "" {
		return one("http", Warn, "the live page on "+h.Listen+" comes without TLS: others on the network can read "+
			"along", "set http.tls.cert and http.tls.key")
	}
	return nil
}

// tryOpen opens what disturbs nobody: files are read, an RTSP server is asked for its description;
// of others it says that they were not opened. A camera that is away is a warning: it may be switched
// off, the agent waits for it, and the others go on. A name that nobody knows is a mistake.
func tryOpen(ctx context.Context, f *Finding, source string) {
	what, err := worker.Ask(ctx, source)
	away := errors.Is(err, camera.ErrLost) && strings.Contains(err.Error(), camera.Unreached) &&
		!strings.Contains(err.Error(), "no such host") // the child's error is text
	switch {
	case away:
		f.Status, f.Cure = Warn, "switch the camera on, or correct its address; the agent goes on trying"
		f.Found += ": " + redact.Text(err.Error())
	case err != nil:
		f.Status, f.Cure = Fail, "see 'vggse-agent cameras test' with this source"
		f.Found += ": " + redact.Text(err.Error())
	case what != "":
		if strings.Contains(what, camera.AskWarning) {
			f.Status, f.Cure = Warn, "see 'vggse-agent cameras test' with this source"
		}
		f.Found += ": " + what
	}
}
