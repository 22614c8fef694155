package camera

import (
	"os"
	"path/filepath"
)

// MayUseGStreamer reports whether the source is read through GStreamer, where OpenCV has that.
func (c *Config) MayUseGStreamer() bool {
	u, err := parse(c.Source)
	switch {
	case err != nil || u.Drawn() || u.Scheme == "http":
		return false
	case u.Scheme == "file":
		return !IsPicture(u.Target)
	}
	return u.Scheme != "v4l2" || u.Codec != ""
}

// pluginFolders are where Debian, Ubuntu and JetPack have GStreamer's plugins.
var pluginFolders = []string{"/usr/lib/*/gstreamer-1.0", "/usr/lib/gstreamer-1.0", "/usr/local/lib/gstreamer-1.0"}

// StaleGStreamer reports whether GStreamer's list of plugins, the file registry, is not there or older
// than the plugins.
func StaleGStreamer(registry string) bool { return registry != "" && !newer(registry) }

// RefreshGStreamer makes GStreamer write its list of plugins to its file, which the environment
// names: a process that may not write would look through all of them at each start, for a second or
// more. It does nothing else, and nothing where it fails.
func RefreshGStreamer() { gstThere() }

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
