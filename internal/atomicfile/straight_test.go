package atomicfile

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestWriteToDevicesAndPipes: --out /dev/null leaves a device there, a pipe gets what is written to
// it, and one that nobody reads makes room, as a damaged state folder may have one.
func TestWriteToDevicesAndPipes(t *testing.T) {
	dir := t.TempDir()
	words := func(w io.Writer) error { _, err := io.WriteString(w, "words"); return err }
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	reader, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := WriteFile(pipe, words); err != nil {
		t.Error(err)
	}
	got := make([]byte, 9)
	if n, err := reader.Read(got); err != nil || string(got[:n]) != "words" {
		t.Errorf("through the pipe came %q, %v", got, err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("the pipe is now %v, %v", info.Mode(), err)
	}
	reader.Close()
	if err := WriteFile(pipe, words); err != nil {
		t.Error(err)
	}
	if text, err := ReadSmall(pipe, 9); err != nil || string(text) != "words" {
		t.Errorf("in the place of a pipe that nobody reads: %q, %v", text, err)
	}
	null := filepath.Join(dir, "null")
	if err := syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3); err == nil { // else not as root
		if err := WriteFile(null, words); err != nil {
			t.Error(err)
		}
		if info, err := os.Lstat(null); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
			t.Errorf("the device is now %v, %v", info.Mode(), err)
		}
	}
	if err := WriteFile(dir, words); err == nil || !strings.Contains(err.Error(), "it is a folder") {
		t.Errorf("a folder: %v", err)
	}
	for path, want := range map[string]bool{"/dev/stdout": true, "/proc/self/fd/1": true, "/dev/fd/63": true,
		"/dev/shm/x": false, "/devices/x": false, "dev/null": false} {
		if ofSystem(path) != want {
			t.Errorf("%s belongs to the system: %t, want %t", path, !want, want)
		}
	}
}
