// Package device reads the machine from the files of its kernel, under a root given as a parameter:
//
//	sysfs, proc ──Facts, Telemetry──▶ agent (stats, metrics), doctor
//
// There is no NVML on a Tegra; what a Jetson says of its GPU, power and throttling it says in
// sysfs. Each file here reads one piece of hardware. What a machine does not have is absent from
// the answer, never an error. The places are those that public sources name for JetPack 5, 6 and 7;
// none was seen on a device.
package device

import (
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// Machine is one computer, seen through its files. Its methods may be called from any goroutine.
type Machine struct {
	files fs.FS
}

// At returns the machine whose file system begins at root: "/" is this one.
func At(root string) Machine { return Machine{files: os.DirFS(root)} }

const (
	longest = 1 << 20 // bytes of one file that are read; what counts here is far shorter
	largest = 1e18    // no number here is beyond it, in whatever unit
)

// text is the content of a file without the space and the NUL around it, valid UTF-8; "" where it
// cannot be read. A sensor that is switched off answers a read with EAGAIN, which is no content
// either.
func (m Machine) text(name string) string {
	f, err := m.files.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, longest))
	if err != nil {
		return ""
	}
	return strings.ToValidUTF8(strings.Trim(string(b), " \t\r\n\x00"), "?")
}

// number is the content of a file of one number.
func (m Machine) number(name string) (float64, bool) {
	v, err := strconv.ParseFloat(m.text(name), 64)
	return v, err == nil && math.Abs(v) <= largest
}

// glob lists what matches, in alphabetical order.
func (m Machine) glob(pattern string) []string {
	names, err := fs.Glob(m.files, pattern)
	if err != nil {
		return nil // the patterns are constants
	}
	return names
}

// hwmon lists the folders of the hardware monitors with one of the given names.
func (m Machine) hwmon(pattern string, names ...string) []string {
	var found []string
	for _, file := range m.glob(pattern + "/name") {
		for _, name := range names {
			if m.text(file) == name {
				found = append(found, path.Dir(file))
			}
		}
	}
	return found
}
