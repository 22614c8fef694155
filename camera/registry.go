package camera

import (
	"os"
	"path/filepath"
)

// UsesGStreamer reports whether the source is read through GStreamer on this machine.
func (c *Config) UsesGStreamer() bool {
	u, err := parse(c.Source)
	if err != nil {
		return false
	}
	m, err := thisMachine()
	if err != nil {
		return false
	}
	if u.Scheme == "demo" || u.Scheme == "file" && IsPicture(u.Target) {
		return false
	}
	if u.Scheme == "onvif" {
		u.Scheme = "rtsp"
	}
	p, err := u.plan(m)
	return err == nil && p.backend == backendGStreamer
}

// pluginFolders are where Debian, Ubuntu and JetPack have GStreamer's plugins.
var pluginFolders = []string{"/usr/lib/*/gstreamer-1.0", "/usr/lib/gstreamer-1.0", "/usr/local/lib/gstreamer-1.0"}

// RefreshGStreamer makes GStreamer write its list of plugins to the file registry, where that is not
// there or older than the plugins: a process that may not write would look through all of them at
// each start, for a second or more. It does nothing else, and nothing where it fails.
func RefreshGStreamer(registry string) {
	if registry == "" || newer(registry) {
		return
	}
	m, err := thisMachine()
	if err != nil || !m.gstreamer {
		return
	}
	c, err := openCapture(&plan{backend: backendGStreamer, text: "videotestsrc num-buffers=1 ! appsink"})
	if err == nil {
		c.close()
	}
}

// newer reports whether the file is newer than all folders of plugins.
func newer(registry string) bool {
	info, err := os.Stat(registry)
	if err != nil {
		return false
	}
	for _, pattern := range append(filepath.SplitList(os.Getenv("GST_PLUGIN_PATH")), pluginFolders...) {
		folders, _ := filepath.Glob(pattern)
		for _, folder := range folders {
			if f, err := os.Stat(folder); err == nil && f.ModTime().After(info.ModTime()) {
				return false
			}
		}
	}
	return true
}
