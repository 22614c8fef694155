package worker

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/internal/selfexec"
)

// childSocket is the descriptor of the socket in the child.
const childSocket = 3

// arguments are those of a child; tests have children of other kinds.
var arguments = []string{Verb}

// process is a child and the socket to it.
type process struct {
	cmd   *exec.Cmd
	conn  *net.UnixConn
	words tail
	why   string // it was killed
	end   func() error
}

// start starts a child, which waits for its settings.
func start() (*process, error) {
	if !able.Load() {
		return nil, errors.New("this program does not ask whether it is to be one: see worker.Asked")
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(ends[0]), "socket"), os.NewFile(uintptr(ends[1]), "socket")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	p := &process{conn: conn.(*net.UnixConn)}
	if p.cmd, err = selfexec.Command(arguments...); err != nil {
		conn.Close()
		return nil, err
	}
	p.cmd.Env = environment()
	p.cmd.Stdout, p.cmd.Stderr = &p.words, &p.words
	p.cmd.ExtraFiles = []*os.File{theirs}
	p.cmd.WaitDelay = closeGrace // for what the child may have started
	if err := p.cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	p.end = sync.OnceValue(p.wait)
	return p, nil
}

// environment is all that a child gets: nothing, but where the libraries lie that it is linked with.
func environment() []string {
	if path := os.Getenv("LD_LIBRARY_PATH"); path != "" {
		return []string{"LD_LIBRARY_PATH=" + path}
	}
	return []string{}
}

// libraryEnv are the variables that OpenCV and GStreamer know, told over the socket.
func libraryEnv() map[string]string {
	env := make(map[string]string)
	for _, pair := range os.Environ() {
		key, value, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(key, "GST_") || strings.HasPrefix(key, "OPENCV_") {
			env[key] = value
		}
	}
	if cache, err := os.UserCacheDir(); err == nil && registryOf(env) == "" { // the child has no home to find it in
		arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
		env["GST_REGISTRY"] = filepath.Join(cache, "gstreamer-1.0", "registry."+arch+".bin")
	}
	return env
}

// registryOf is GStreamer's list of its plugins.
func registryOf(env map[string]string) string {
	return cmp.Or(env["GST_REGISTRY_1_0"], env["GST_REGISTRY"])
}

// kill ends the child at once, for a reason.
func (p *process) kill(why string) {
	if p.why == "" {
		p.why = why
	}
	p.cmd.Process.Kill()
}

// close closes the socket, which tells the child to end, and waits until it has.
func (p *process) close() error {
	p.conn.Close()
	p.end()
	return nil
}

// wait reaps the child; one that does not end by itself is killed.
func (p *process) wait() error {
	late := time.AfterFunc(closeGrace, func() { p.cmd.Process.Kill() })
	err := p.cmd.Wait()
	if !late.Stop() || errors.Is(err, exec.ErrWaitDelay) {
		return nil // it ended by our hand
	}
	return err
}

// death waits for the end of a child that has hung up, and says why it ended.
func (p *process) death() string {
	err := p.end()
	switch {
	case p.why != "":
		return p.why
	case err != nil:
		return selfexec.Died(err, p.words.bytes()).Error()
	}
	return fmt.Sprintf("its process ended: %s", p.words.bytes())
}

// tail keeps the end of what a child writes to stderr.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 32 << 10 // the stacks of a crash are shorter

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if len(t.text) > 2*tailSize {
		t.text = append(t.text[:0], t.text[len(t.text)-tailSize:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]byte(nil), t.text...)
}
