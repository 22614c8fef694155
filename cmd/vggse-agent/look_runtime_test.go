package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/infer"
)

// hostileRuntime is a folder with a library that does something on loading and then calls itself
// the ONNX Runtime of a version, of which %d is a number that it may count up.
func hostileRuntime(t *testing.T, version, constructor string) string {
	t.Helper()
	dir := t.TempDir()
	cc := exec.Command("cc", "-shared", "-fPIC", "-o", filepath.Join(dir, "libonnxruntime.so"), "-x", "c", "-")
	cc.Stdin = strings.NewReader(`
		#include <arpa/inet.h>
		#include <fcntl.h>
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/prctl.h>
		#include <sys/socket.h>
		#include <unistd.h>
		static int could;
		static char text[99];
		static const void *get(unsigned v) { return (void *)0; }
		static const char *version(void) { snprintf(text, sizeof text, "` + version + `", could); return text; }
		static const struct { const void *(*get)(unsigned); const char *(*version)(void); } base = {get, version};
		const void *OrtGetApiBase(void) { return &base; }
		__attribute__((constructor)) static void loaded(void) {` + constructor + `}`)
	if out, err := cc.CombinedOutput(); err != nil {
		t.Skipf("cc: %v\n%s", err, out)
	}
	return dir
}

// TestInstallGivesUpRoot: a library that is looked at is nobody's where root looks, has no way
// back, sees no secret of the environment, writes no file and reaches no network.
func TestInstallGivesUpRoot(t *testing.T) {
	open := t.TempDir() // where everybody may write
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	t.Setenv("VGGSE_MQTT_PASSWORD", "geheim")
	hostile := hostileRuntime(t, "1.27.%d", fmt.Sprintf(`
		could |= geteuid() == 0 || getegid() == 0 || getgroups(0, NULL) > 1;
		could |= (setuid(0) == 0 && getuid() == 0) << 1;
		could |= (open("here", O_CREAT | O_WRONLY, 0644) >= 0) << 2;
		could |= (open("%s/there", O_CREAT | O_WRONLY, 0644) >= 0) << 3;
		could |= (open("/etc/shadow", O_RDONLY) >= 0) << 4;
		could |= (getenv("VGGSE_MQTT_PASSWORD") != NULL) << 5;
		could |= (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) << 6;
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(%d)};
		inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
		could |= (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) == 0) << 7;
		printf("a library may talk\n"); fflush(stdout);`, open, server.Addr().(*net.TCPAddr).Port))
	if os.Geteuid() != 0 {
		t.Log("not as root: that it is given up is not seen here")
	}
	i, err := infer.RuntimesAt(filepath.Join(t.TempDir(), "runtimes")).Install(t.Context(), hostile, lookInChild)
	if err != nil || i.Version != "1.27.0" {
		t.Errorf("Install = %+v, %v: want version 1.27.0, each bit of the last number is something it could", i, err)
	}
	if left, _ := os.ReadDir(open); len(left) > 0 {
		t.Errorf("it wrote %v", left)
	}
}

// TestInstallOfHostile: what does not load, or lies, is refused in one sentence, and nothing is left.
func TestInstallOfHostile(t *testing.T) {
	usual := lookTime
	defer func() { lookTime = usual }()
	for name, tt := range map[string]struct{ version, constructor, want string }{
		"crash": {"1.27.%d", "abort();", "loading libonnxruntime.so: its process ended without a word"},
		"exit":  {"1.27.%d", "_exit(0);", "its process answers"},
		"path":  {"1.27/../../../x%d", "", "that is no version"},
		"old":   {"1.2.%d", "", "libonnxruntime.so is ONNX Runtime 1.2.0, too old: 1.16 or newer is needed"},
		"flood": {"1.27.%d", "for (int i = 0; i < 1 << 16; i++) puts(\"0123456789abcdef0123456789abcdef\");" +
			" _exit(0);", "its process answers"},
		"hang": {"1.27.%d", "if (!fork()) setpgid(0, 0); for (;;) sleep(9);", "does not load within 2s"},
	} {
		t.Run(name, func(t *testing.T) {
			if lookTime = usual; name == "hang" {
				lookTime = 2 * time.Second
			}
			dir := filepath.Join(t.TempDir(), "runtimes")
			hostile := hostileRuntime(t, tt.version, tt.constructor)
			_, err := infer.RuntimesAt(dir).Install(t.Context(), hostile, lookInChild)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), ".incoming") ||
				strings.Contains(err.Error(), "\n") || len(err.Error()) > 600 {
				t.Errorf("%v, want %q", err, tt.want)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			if running := processesOf(lookVerb); len(running) > 0 {
				t.Errorf("it left processes: %v", running)
			}
		})
	}
}

// processesOf are the processes that run a verb.
func processesOf(verb string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), "\x00"+verb+"\x00") {
			found = append(found, filepath.Base(filepath.Dir(path)))
		}
	}
	return found
}
