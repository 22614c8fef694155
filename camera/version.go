package camera

// OpenCVVersion is the version of the OpenCV that this program runs with; "none" where it was built
// without.
func OpenCVVersion() string {
	m, err := thisMachine()
	if err != nil {
		return "none"
	}
	return m.opencv
}

// OpenCVBackends are those of its ways to read a video that this program uses: FFmpeg, GStreamer,
// V4L2.
func OpenCVBackends() []string {
	m, err := thisMachine()
	if err != nil {
		return nil
	}
	var all []string
	for _, b := range []struct {
		name string
		has  bool
	}{{"FFmpeg", m.ffmpeg}, {"GStreamer", m.gstreamer}, {"V4L2", m.v4l2}} {
		if b.has {
			all = append(all, b.name)
		}
	}
	return all
}
