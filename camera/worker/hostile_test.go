package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/camera"
	"github.com/vggse/vggse-agent/vision"
)

// hostile are children that mean harm, by their name.
var hostile = map[string]func(){
	"garbage":  func() { say(0xff, 1, 2, 3) },
	"no end":   func() { flood(byte(kindAlive)) },
	"chatter":  func() { flood(append([]byte{byte(kindNews)}, "{}"...)...) },
	"too long": func() { say(make([]byte, 2*messageSize)...) },
	"nothing":  func() { say() },
	"mute":     func() { openedNow(); select {} },
	"bad json": func() { say(append([]byte{byte(kindOpened)}, "{{"...)...) },
	"bad error": func() {
		openedNow()
		say(append([]byte{byte(kindFailed)}, "[]"...)...)
	},
	"huge": func() { openedNow(); say(appendSize([]byte{byte(kindNeed)}, 1<<31, 1<<31)...) },
	"hungry": func() {
		openedNow()
		for n := 8; n < 8000; n += 8 {
			say(appendSize([]byte{byte(kindNeed)}, n, n)...)
		}
		select {}
	},
	"short need":  func() { openedNow(); say(byte(kindNeed), 1) },
	"no ring":     func() { openedNow(); frame(0, 8, 8, monotonic()) },
	"slot 200":    func() { ringed(); frame(200, 8, 8, monotonic()) },
	"too large":   func() { ringed(); frame(0, 4096, 4096, monotonic()) },
	"overflow":    func() { ringed(); frame(0, 1<<31+1, 2, monotonic()) },
	"short frame": func() { ringed(); say(byte(kindFrame), 0, 1) },
	"twice": func() {
		ringed()
		frame(0, 8, 8, monotonic())
		frame(0, 8, 8, monotonic())
		select {}
	},
	"greedy": func() { // more than it may have, none of it touched
		openedNow()
		limitMemory()
		for kept := [][]byte{}; ; {
			kept = append(kept, make([]byte, 1<<30))
		}
	},
	"shrink": shrink,
	"scribble": func() { // lends itself all slots, for ever
		memory, err := unix.Mmap(ringed(), 0, ringSize(os.Getpagesize()), unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_SHARED)
		if err != nil {
			return
		}
		for i := range memory {
			memory[i] = 0xff
		}
		frame(0, 8, 8, monotonic())
		frame(0, 8, 8, monotonic())
		select {}
	},
	"future": func() { ringed(); frame(0, 8, 8, monotonic()+int64(time.Hour)); select {} },
	"past":   func() { ringed(); frame(0, 8, 8, 1); select {} },
	"words": func() {
		openedNow()
		word := "\x1b[2Jthe password is geheim" + strings.Repeat("x", 1<<15)
		text, _ := json.Marshal(failure{Kind: "lost", Text: word})
		say(append([]byte{byte(kindFailed)}, text...)...)
	},
	"an end": func() {
		openedNow()
		text, _ := json.Marshal(failure{Kind: "end", Text: ""})
		say(append([]byte{byte(kindFailed)}, text...)...)
	},
	"descriptors": func() {
		openedNow()
		for range 100 {
			unix.Sendmsg(childSocket, []byte{byte(kindAlive)}, unix.UnixRights(0, 1, 2), nil, 0)
		}
		select {}
	},
}

func say(b ...byte) { unix.Sendto(childSocket, b, unix.MSG_NOSIGNAL, nil) }

func flood(b ...byte) {
	openedNow()
	for unix.Sendto(childSocket, b, unix.MSG_NOSIGNAL, nil) == nil {
	}
}

func openedNow() {
	text, _ := json.Marshal(opened{Info: camera.Info{Kind: "rtsp", Live: true, ReadLimit: time.Second}})
	say(append([]byte{byte(kindOpened)}, text...)...)
}

func frame(slot, width, height int, taken int64) {
	h := frameHeader{slot: slot, width: width, height: height, taken: time.Duration(taken)}
	say(h.append(nil)...)
}

// ringed opens, asks for memory and returns its descriptor.
func ringed() (fd int) {
	openedNow()
	say(appendSize([]byte{byte(kindNeed)}, 8, 8)...)
	buffer, rights := make([]byte, messageSize), make([]byte, unix.CmsgSpace(4))
	for {
		n, m, _, _, err := unix.Recvmsg(childSocket, buffer, rights, 0)
		if err != nil || n == 0 {
			os.Exit(1)
		}
		if kind(buffer[0]) == kindRing {
			all, _ := unix.ParseSocketControlMessage(rights[:m])
			fds, _ := unix.ParseUnixRights(&all[0])
			return fds[0]
		}
	}
}

// shrink takes the memory away that the parent reads.
func shrink() {
	fd := ringed()
	shrunk, grown := unix.Ftruncate(fd, 0), unix.Ftruncate(fd, 1<<30)
	_, sealed := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE)
	punched := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096) // may succeed
	_ = punched
	frame(0, 8, 8, monotonic())
	text, _ := json.Marshal(failure{Kind: "lost", Text: fmt.Sprintf("%v, %v, %v", shrunk, grown, sealed)})
	say(append([]byte{byte(kindFailed)}, text...)...)
}

// A child that means harm is ended, or changes nothing; this process goes on, keeps no descriptor of
// it, and tells what it was in one sentence.
func TestHostileChild(t *testing.T) {
	Asked(nil)
	readHostile(t, "garbage") // Go's runtime opens what it waits with
	for _, tt := range []struct {
		name   string
		frames int    // before the error
		want   string // in the error
	}{
		{"garbage", 0, "a message 255 in place of an opening"}, {"no end", 0, "more than anyone wants to know"},
		{"chatter", 0, "more than anyone wants to know"}, {"too long", 0, "more than anyone wants to know"},
		{"nothing", 0, "its process ended"}, {"mute", 0, "its process was ended: it does not answer"},
		{"bad json", 0, "an opening that cannot be read"}, {"bad error", 0, "an error that cannot be read"},
		{"hungry", 0, "more than anyone wants to know"},
		{"huge", 0, "a frame of 2147483648×2147483648 pixels"}, {"short need", 0, "a size of 1 bytes"},
		{"no ring", 0, "a frame of 8×8 pixels in slot 0"}, {"slot 200", 0, "a frame of 8×8 pixels in slot 200"},
		{"too large", 0, "a frame of 4096×4096 pixels in slot 0"}, {"overflow", 0, "a frame of 2147483649×2 pixels"},
		{"short frame", 0, "a header of 2 bytes"}, {"twice", 1, "a frame of 8×8 pixels in slot 0"},
		{"scribble", 1, "a frame of 8×8 pixels in slot 0"},
		{"shrink", 1, "operation not permitted, operation not permitted, operation not permitted"},
		{"future", 1, "its process was ended"}, {"past", 1, "its process was ended"},
		{"words", 0, "the password is ***"}, {"greedy", 0, "memory"},
		{"an end", 0, "lost: the stream ended"}, {"descriptors", 0, "its process was ended: it does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := descriptors(t)
			began := time.Now()
			frames, err := readHostile(t, tt.name)
			if strings.Contains(fmt.Sprint(err), "ThreadSanitizer") { // the race detector ran out of memory first
				tt.want = "unable to mmap"
			}
			if !errors.Is(err, camera.ErrLost) || !strings.Contains(err.Error(), tt.want) || frames != tt.frames {
				t.Errorf("%d frames, then %v, want %d and %q", frames, err, tt.frames, tt.want)
			}
			if text := err.Error(); strings.Contains(text, "geheim") || strings.Contains(text, "\x1b") ||
				len(text) > 2*textLimit {
				t.Errorf("the error is %q", text)
			}
			if after := descriptors(t); after != before {
				t.Errorf("%d descriptors, %d before", after, before)
			}
			t.Logf("%v after %s", err, time.Since(began).Round(time.Millisecond))
		})
	}
}

// readHostile reads from such a child until an error.
func readHostile(t *testing.T, name string) (frames int, err error) {
	t.Helper()
	defer func(usual []string) { arguments = usual }(arguments)
	arguments = []string{Verb, name}
	c := New(camera.Config{Name: "test", Source: "rtsp://user:geheim@127.0.0.1:1/x"})
	c.limits = limits{
		start: time.Minute, silence: time.Second, connect: time.Minute, slack: time.Minute, first: time.Minute,
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	s, err := c.Open(soon(t))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var f [4]vision.Frame
	began := time.Now()
	for frames = 0; ; frames++ {
		if err := s.Read(soon(t), &f[frames%4]); err != nil {
			return frames, err
		}
		if at := f[frames%4].Time; at.Before(began) || at.After(time.Now()) {
			t.Errorf("a frame of %v, read between %v and now", at, began)
		}
	}
}

// descriptors are those of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
