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

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/internal/selfexec"
)

// childSocket is the descriptor of the socket in the child.
const childSocket = 3

// arguments are those of a child; tests have children of other kinds.
var arguments = []string{Verb}

// process is a child and the socket to it.
type process struct {
	cmd     *exec.Cmd
	conn    *net.UnixConn
	words   tail
	why     string // it was killed
	crashed bool   // it ended by itself, without a word
	end     func() error
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

var refreshed struct {
	sync.Mutex
	until time.Time // it is not tried again before
}

// refresh brings GStreamer's list of its plugins up to date, where that is old, in a process that sees
// no foreign byte: one that reads a camera may not write it.
func refresh(env map[string]string) {
	refreshed.Lock()
	defer refreshed.Unlock()
	if !camera.StaleGStreamer(registryOf(env)) || time.Now().Before(refreshed.until) {
		return
	}
	refreshed.until = time.Now().Add(10 * time.Minute)
	p, err := start()
	if err != nil {
		return
	}
	defer p.close()
	lock := make([]byte, 32)
	lock[0] = byte(kindLock)
	told, err := message(kindSettings, settings{Refresh: true, Env: env})
	if err != nil {
		return
	}
	p.conn.SetDeadline(time.Now().Add(usual.start))
	for _, m := range [][]byte{lock, told} {
		if _, err := p.conn.Write(m); err != nil {
			return
		}
	}
	p.conn.Read(lock) //nolint:errcheck // it ends when it has done so
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

// waits reports whether the child still has the socket.
func (p *process) waits() (yes bool) {
	raw, err := p.conn.SyscallConn()
	if err != nil {
		return false
	}
	var b [1]byte
	err = raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		yes = n > 0 || err == unix.EAGAIN
	})
	return yes && err == nil
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
	p.crashed = err != nil && p.why == ""
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
