package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vggse/vggse-agent/importer"
	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/internal/landlock"
	"github.com/vggse/vggse-agent/onnx"
)

// changedFile is a small classifier of one operator between a convolution and its scores, which
// change makes something else of.
func changedFile(t *testing.T, change func(*onnx.Model)) (job *infer.ForeignJob) {
	t.Helper()
	m, err := onnx.Open(foreign + "se-resnet.legacy.onnx")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	change(m)
	path := filepath.Join(t.TempDir(), "changed.onnx")
	f, err := os.Create(path)
	if err = errors.Join(err, onnx.Write(f, m), f.Close()); err != nil {
		t.Fatal(err)
	}
	in := m.Graph.FreeInputs()[0]
	return &infer.ForeignJob{Path: path, Ports: infer.ForeignPorts{Input: in.Name, Output: m.Graph.Outputs[0].Name,
		Type: onnx.Float32, Shape: []int64{1, 3, 64, 64}}, Inputs: [][]float32{make([]float32, 3*64*64)}}
}

// TestForeignFileInChild: a file is answered from another process as in this one; one that crashes
// ONNX Runtime costs an error, and one that never ends can be ended.
func TestForeignFileInChild(t *testing.T) {
	needRuntime(t)
	job := changedFile(t, func(*onnx.Model) {})
	want, err := infer.RunForeign(t.Context(), infer.Config{}, job)
	if err != nil {
		t.Fatal(err)
	}
	got, err := runForeignInChild(t.Context(), infer.Config{}, job)
	if err != nil || len(got) != 1 || !slices.Equal(got[0], want[0]) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	job.Ports.Output = "nothing"
	if _, err := runForeignInChild(t.Context(), infer.Config{}, job); err == nil ||
		errors.Is(err, importer.ErrCrashed) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("an output that is not there: %v", err)
	}

	job = changedFile(t, func(m *onnx.Model) {
		for i := range m.Graph.Nodes {
			if s := m.Graph.Nodes[i].Attribute("strides"); s != nil && m.Graph.Nodes[i].OpType == "MaxPool" {
				s.Ints = []int64{0, 0}
			}
		}
	})
	_, err = runForeignInChild(t.Context(), infer.Config{}, job)
	if !errors.Is(err, importer.ErrCrashed) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
		t.Errorf("a stride of 0: %v", err)
	}
}

// TestForeignFileIsLockedIn: what a model file brings ONNX Runtime to do sees no secret and no file
// but its own, writes none, starts no process and reaches no network. A library that looks around
// stands for it.
func TestForeignFileIsLockedIn(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("geheim"), 0o644); err != nil {
		t.Fatal(err)
	}
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	t.Setenv("VGGSE_MQTT_PASSWORD", "geheim")
	job := changedFile(t, func(*onnx.Model) {})
	looks := `
		if (!getenv("VGGSE_LOCKED")) return;
		int model = open("%s", O_RDONLY);
		could |= (model < 0) << 0;
		could |= (getenv("VGGSE_MQTT_PASSWORD") != NULL) << 1;
		could |= (open("%s.more", O_CREAT | O_WRONLY, 0644) >= 0) << 2;
		could |= (fork() >= 0) << 3;
		could |= (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) << 4;
		struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(%d)};
		inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
		could |= (connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&a, sizeof a) == 0) << 5;
		could |= (open("%s", O_RDONLY) >= 0) << 6;
		char answer[99] = {0};
		int n = snprintf(answer + 4, 90, "{\"Error\":\"could %%d\"}", could);
		memcpy(answer, &n, 4);
		if (write(4, answer, 4 + n) < 0) abort();
		_exit(0);`
	want := "could 0"
	if _, err := landlock.ABI(); err != nil {
		want = "could 64" // files that this user may read
	}
	hostile := hostileRuntime(t, "1.27.%d", fmt.Sprintf(looks, job.Path, secret,
		server.Addr().(*net.TCPAddr).Port, secret))
	c := infer.Config{Library: filepath.Join(hostile, "libonnxruntime.so")}
	if _, err := runForeignInChild(t.Context(), c, job); err == nil || err.Error() != want {
		t.Errorf("%v, want %s: each bit is something it could", err, want)
	}
}

// TestForeignFileThatHangs: who ends the verb ends the process that runs the file.
func TestForeignFileThatHangs(t *testing.T) {
	hostile := hostileRuntime(t, "1.27.%d", `if (getenv("VGGSE_LOCKED")) for (;;) sleep(9);`)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(time.Second, cancel)
	job := changedFile(t, func(*onnx.Model) {})
	_, err := runForeignInChild(ctx, infer.Config{Library: filepath.Join(hostile, "libonnxruntime.so")}, job)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if running := processesOf(foreignVerb); len(running) > 0 {
		t.Errorf("it left processes: %v", running)
	}
}

// TestForeignFileEndsWithTheVerb: the process that runs a file ends with the verb, however that ends.
func TestForeignFileEndsWithTheVerb(t *testing.T) {
	hostile := hostileRuntime(t, "1.27.%d", `if (getenv("VGGSE_LOCKED")) for (;;) sleep(9);`)
	verb := exec.Command(os.Args[0], "import", changedFile(t, func(*onnx.Model) {}).Path, "--labels", "a,b,c,d",
		"--preprocess", "torchvision", "--out", filepath.Join(t.TempDir(), "out"))
	verb.Env = append(os.Environ(), "TEST_AS_VGGSE_AGENT=1", "ORT_LIB="+filepath.Join(hostile, "libonnxruntime.so"))
	var said bytes.Buffer
	verb.Stdout, verb.Stderr = &said, &said
	if err := verb.Start(); err != nil {
		t.Fatal(err)
	}
	defer verb.Process.Kill()
	ended := make(chan error, 1)
	go func() { ended <- verb.Wait() }()
	var child string
	for end := time.Now().Add(patience); child == ""; time.Sleep(10 * time.Millisecond) {
		for _, id := range processesOf(foreignVerb) {
			env, _ := os.ReadFile(filepath.Join("/proc", id, "environ")) // the second stage, with fewer rights
			stat, _ := os.ReadFile(filepath.Join("/proc", id, "stat"))
			ours := strings.Contains(string(stat), fmt.Sprintf(" %d ", verb.Process.Pid))
			if ours && strings.Contains(string(env), lockStage) {
				child = id
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the verb ended by itself: %v: %s", err, said.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatal("nothing runs the file")
		}
	}
	verb.Process.Kill()
	<-ended
	for end := time.Now().Add(patience); slices.Contains(processesOf(foreignVerb), child); {
		time.Sleep(10 * time.Millisecond)
		if time.Now().After(end) {
			t.Fatalf("process %s goes on without the verb", child)
		}
	}
}
