package watch

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/vggse/vggse-agent/mqtt"
)

// refresh is how often the table is drawn again: often enough for ages to the tenth of a
// second.
const refresh = 200 * time.Millisecond

// Table draws what the broker carries in place, on the terminal f, until ctx ends, and leaves the
// last one standing.
func Table(ctx context.Context, cfg mqtt.Config, filters []string, f *os.File) error {
	var mu sync.Mutex
	b := New(cfg.Broker, cfg.TopicPrefix)
	style := Style{Colour: os.Getenv("NO_COLOR") == ""}
	draw := func() []string {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil || width == 0 {
			width, height = 80, 24
		}
		mu.Lock()
		defer mu.Unlock()
		return b.Draw(style, width, height, time.Now())
	}
	fmt.Fprint(f, enterScreen)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return mqtt.Subscribe(ctx, cfg, filters,
			func(err error) { mu.Lock(); b.Connection(err, time.Now()); mu.Unlock() },
			func(m mqtt.Message) { mu.Lock(); b.Apply(m, time.Now()); mu.Unlock() })
	})
	group.Go(func() error {
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for {
			if _, err := io.WriteString(f,
				home+strings.Join(draw(), clearLine+"\r\n")+clearLine+clearBelow); err != nil {
				return fmt.Errorf("watch: %w", err)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
	err := group.Wait()
	fmt.Fprint(f, leaveScreen, strings.Join(draw(), "\n"), "\n")
	return err
}

// Control sequences of a terminal (ECMA-48, xterm): a screen of its own without cursor, home,
// clear.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[2J"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)
