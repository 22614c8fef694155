package camera

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no camera is passed over, what cannot be opened is told, and the order is that of the
// numbers. A real device is seen by TestVivid ('make test-vivid'), in a machine that has one.
func TestDevices(t *testing.T) {
	if all, err := Devices(t.TempDir()); len(all) != 0 || err != nil {
		t.Errorf("a machine without cameras: %v, %v", all, err)
	}
	root := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"video0", "video2", "video10"} {
		write("sys/class/video4linux/"+name+"/name", "Camera of "+name+"\n")
	}
	write("dev/video0", "") // no answer to a question of V4L2
	if err := os.MkdirAll(filepath.Join(root, "dev/v4l/by-id"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../video10", filepath.Join(root, "dev/v4l/by-id/usb-Maker-index0")); err != nil {
		t.Fatal(err)
	}
	all, err := Devices(root)
	if err != nil || len(all) != 2 || all[0].Path != "/dev/video2" || all[1].Name != "Camera of video10" ||
		len(all[1].ByID) != 1 || all[1].ByID[0] != "/dev/v4l/by-id/usb-Maker-index0" || !strings.Contains(all[1].State,
		"cannot be opened") {
		t.Errorf("%+v, %v", all, err)
	}
}
