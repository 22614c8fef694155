package camera

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Device is a camera of this machine.
type Device struct {
	URI    string   `json:"uri"`  // to open it with
	Path   string   `json:"path"` // of the device
	Name   string   `json:"name"` // as its maker calls it
	Driver string   `json:"driver"`
	Bus    string   `json:"bus"`   // where it is plugged in
	ByID   []string `json:"by_id"` // names that stay the same wherever it is plugged in
	State  string   `json:"state"` // free, busy, or why it cannot be opened
	Modes  []Mode   `json:"modes"` // none of a CSI sensor: its driver gives raw Bayer pictures, the pipeline others
}

// Mode is a format and size that a device offers.
type Mode struct {
	Format        string    `json:"format"` // four letters: MJPG, YUYV
	Width, Height int       `json:"-"`
	Size          string    `json:"size"` // WIDTHxHEIGHT, or the smallest and the largest
	FPS           []float64 `json:"fps"`  // fastest first
}

// Drivers of a Jetson's CSI sensors, which nvarguscamerasrc counts in the order of their devices
// (unproven on hardware: 'vggse-agent cameras' and 'nvgstcapture-1.0 --sensor-id=N' on a board with
// two of them would prove it).
const csiDriver = "tegra-video"

// Devices lists the capture devices of the machine in the order of their numbers, as the kernel has
// them. Root is "/" but for tests.
func Devices(root string) ([]Device, error) {
	nodes, err := os.ReadDir(filepath.Join(root, "sys/class/video4linux"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without cameras
	} else if err != nil {
		return nil, fmt.Errorf("camera: devices: %w", err)
	}
	var names []string
	for _, n := range nodes {
		if strings.HasPrefix(n.Name(), "video") {
			names = append(names, n.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return deviceNumber(a) - deviceNumber(b) })
	byID := identities(filepath.Join(root, "dev/v4l/by-id"))
	var all []Device
	sensors := 0
	for _, name := range names {
		d := Device{Path: "/dev/" + name, URI: "/dev/" + name, ByID: byID[name]}
		text, _ := os.ReadFile(filepath.Join(root, "sys/class/video4linux", name, "name"))
		d.Name = strings.TrimSpace(string(text))
		if !d.ask(filepath.Join(root, d.Path)) {
			continue
		}
		if d.Driver == csiDriver {
			d.URI = fmt.Sprintf("csi://%d", sensors)
			d.Modes = nil
			sensors++
		}
		all = append(all, d)
	}
	return all, nil
}

func deviceNumber(name string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(name, "video"))
	return n
}

// identities maps device names to the links that udev made for them.
func identities(folder string) map[string][]string {
	all := make(map[string][]string)
	links, _ := os.ReadDir(folder) // there is none without udev, or without cameras
	for _, l := range links {
		if target, err := os.Readlink(filepath.Join(folder, l.Name())); err == nil {
			name := filepath.Base(target)
			all[name] = append(all[name], "/dev/v4l/by-id/"+l.Name())
		}
	}
	return all
}

// ask fills d from the driver; false: this is no camera, but an output or a stream of metadata.
func (d *Device) ask(path string) bool {
	v, err := openV4L2(path)
	switch {
	case errors.Is(err, fs.ErrPermission):
		d.State = "no permission: add the user to the group video"
		return true
	case err != nil:
		d.State = "cannot be opened: " + err.Error()
		return true
	}
	defer v.close()
	c, err := v.capability()
	if err != nil || !c.captures {
		return false
	}
	d.Name, d.Driver, d.Bus, d.State = c.card, c.driver, c.bus, "free"
	if v.busy(&c) {
		d.State = "busy"
	}
	d.Modes = v.modes(&c)
	return true
}
