//go:build gocv && !lateopencv

package camera

// loadOpenCV has nothing to do: this program is linked with OpenCV.
func loadOpenCV() error { return nil }
