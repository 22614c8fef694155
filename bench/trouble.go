package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vggse/vggse-agent/mqtt/spool"
)

// impostor listens like a broker, takes every client, and then sends noise or hangs up.
func impostor() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer := []byte{0x20, 2, 0, 0} // CONNACK
			for range rand.IntN(1000) {
				answer = append(answer, byte(rand.Uint32()))
			}
			c.Write(answer) //nolint:errcheck // it hangs up anyway
			time.AfterFunc(200*time.Millisecond, func() { c.Close() })
		}
	}()
	return "tcp://" + l.Addr().String(), func() { l.Close() }, nil
}

// troubleReport compares the saturated pipeline with a broker that takes everything, and with one
// that is hostile, so that every record goes to the disk.
func (o *options) troubleReport(ctx context.Context, r *report) error {
	l, err := listen(ctx)
	if err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	defer l.close()
	dir, err := os.MkdirTemp(o.scratch, "spool")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	enemy, stop, err := impostor()
	if err != nil {
		return err
	}
	defer stop()
	for _, n := range []struct {
		title, bundle string
		threads       int
		length        float64
	}{
		{"Demo network, one inference thread, frames from memory", o.demo, 1, o.seconds},
		{"Full-size network, all cores, frames from memory", o.full, 0, 3 * o.seconds},
	} {
		r.section(n.title)
		rig, err := openRig(ctx, n.bundle, n.threads)
		if err != nil {
			return err
		}
		place := filepath.Join(dir, filepath.Base(n.bundle))
		calm, trouble, state, err := rig.endure(ctx, o.pairs, time.Duration(n.length*float64(time.Second)),
			"tcp://"+l.address, enemy, place)
		if err = errors.Join(err, rig.close()); err != nil {
			return err
		}
		ratio := ratios(trouble, calm)
		r.fact("broker there, images/s", spread(calm))
		r.fact("broker hostile, records to disk, images/s", spread(trouble))
		r.atLeast("hostile / there", median(ratio), 0.97, spread(ratio))
		r.fact("the spool meanwhile", fmt.Sprintf("%d MiB, %d records dropped", state.Bytes>>20, state.Dropped))
	}
	return nil
}

// endure interleaves runs of the saturated pipeline on the two brokers.
func (r *rig) endure(ctx context.Context, n int, length time.Duration, brokerURL, enemy, dir string) (calm,
	trouble []float64, state spool.State, err error) {
	good, stopGood, err := connect(ctx, brokerURL, dir+"-good")
	if err != nil {
		return nil, nil, state, err
	}
	defer stopGood()
	bad, stopBad, err := connect(ctx, enemy, dir+"-bad")
	if err != nil {
		return nil, nil, state, err
	}
	defer stopBad()
	took, err := r.bare.loop(length / 2)
	if err != nil {
		return nil, nil, state, err
	}
	rate := 2000 / mean(took)
	for i := range 2 * n {
		c := &counted{Publisher: good}
		if i%4 == 1 || i%4 == 2 { // each is first in half of the pairs
			c.Publisher = bad
		}
		if err := r.play(ctx, rate, length, r.network, c); err != nil {
			return nil, nil, state, err
		}
		if c.n < 3 {
			return nil, nil, state, fmt.Errorf("the pipeline answered only %d times in %v", c.n, length)
		}
		if c.Publisher == good {
			calm = append(calm, c.rate())
		} else {
			trouble = append(trouble, c.rate())
		}
	}
	return calm, trouble, bad.Queue(), nil
}
