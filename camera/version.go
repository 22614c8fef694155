package camera

// OpenCVVersion is the version of the OpenCV that this program runs with; "none" where it was built without.
func OpenCVVersion() string {
	m, err := thisMachine()
	if err != nil {
		return "none"
	}
	return m.opencv
}
