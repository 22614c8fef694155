package selfexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the child of TestAside.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "child" {
		os.Exit(m.Run())
	}
	n, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0) // as the kernel counts: 20 - nice
	fmt.Fprintln(os.Stderr, "priority", n)
	switch os.Args[2] {
	case "steps back":
		stepBack()
	case "fails":
		fmt.Fprintln(os.Stderr, "vggse-agent: there is no such thing")
		os.Exit(3)
	case "waits":
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, os.Interrupt)
		fmt.Fprintln(os.Stderr, "waiting")
		<-asked
		fmt.Fprintln(os.Stderr, "cleaned up")
	}
	os.Exit(0)
}

// stepBack gives the process the lowest priority and says how many of its threads have another one.
func stepBack() {
	others := 0
	if err := LowestPriority(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	var all sync.WaitGroup
	for range 8 { // each has a thread, some of them new
		all.Go(func() {
			runtime.LockOSThread()
			time.Sleep(10 * time.Millisecond)
		})
	}
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		id, _ := strconv.Atoi(t.Name())
		if n, err := syscall.Getpriority(syscall.PRIO_PROCESS, id); err == nil && n != 1 {
			others++
		}
	}
	all.Wait()
	fmt.Fprintln(os.Stderr, "others", others)
}

// A process that steps back does so with every thread.
func TestLowestPriority(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(self, "child", "steps back").CombinedOutput()
	if err != nil || !strings.HasSuffix(string(text), "\nothers 0\n") {
		t.Errorf("%q, %v", text, err)
	}
}

// A child aside has the lowest priority, says its lines, and ends when it is asked to.
func TestAside(t *testing.T) {
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, c := range []struct {
		how, err string
		lines    []string
	}{
		{"ends", "", []string{"priority 1"}},
		{"fails", "there is no such thing", []string{"priority 1", "vggse-agent: there is no such thing"}},
		{"waits", "context canceled", []string{"priority 1", "waiting", "cleaned up"}},
	} {
		var lines []string
		ended := make(chan error)
		go func() {
			ended <- Aside(ctx, []string{"child", c.how}, func(line string) {
				if lines = append(lines, line); line == "waiting" {
					cancel()
				}
			})
		}()
		err := <-ended
		if got := strings.TrimPrefix(fmt.Sprint(err), "<nil>"); got != c.err || !slices.Equal(lines, c.lines) {
			t.Errorf("%s: %q, %v; want %q, %v", c.how, lines, err, c.lines, c.err)
		}
	}
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Error("the waiting child was not asked to end")
	}
	if n, _ := syscall.Getpriority(syscall.PRIO_PROCESS, 0); n != priority {
		t.Errorf("this process has priority %d now, had %d", n, priority)
	}
}
