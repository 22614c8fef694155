package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestDoctorSeesWhoUsesADevice by what this process itself holds open.
func TestDoctorSeesWhoUsesADevice(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "video0"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if who := users(file.Name()); len(who) != 1 || !strings.Contains(who[0], fmt.Sprintf("(%d)", os.Getpid())) {
		t.Errorf("users = %v, want this process", who)
	}
	if who := users("/nowhere"); who != nil {
		t.Errorf("users of nothing = %v", who)
	}
}

func TestElements(t *testing.T) {
	got := elements("v4l2src device=/dev/video0 ! video/x-raw, width=640 ! queue max-size-buffers=1 ! videoconvert " +
		"! appsink name=a")
	if want := []string{"v4l2src", "queue", "videoconvert", "appsink"}; !slices.Equal(got, want) {
		t.Errorf("elements = %v, want %v", got, want)
	}
}
