package release

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

// TestPace: beside a network the same bytes come, work is paid for with rest, and who rests hears of
// the end.
func TestPace(t *testing.T) {
	p := newPublisher(t)
	_, place := overLine(t, p)
	d := newDevice(t, p.key.Public)
	r, err := Open(t.Context(), place, d.gate, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	done, err := r.Pull(t.Context(), PullOptions{Store: d.store, Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	d.holds(done.Installed, p.dir)

	slow := newPace(true)
	defer slow.end()
	text := bytes.Repeat([]byte("some work"), 1<<16)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sum := 0
	for n := 0; ; n++ { // until enough CPU was used for a rest
		for _, c := range text {
			sum += int(c)
		}
		if err := slow.rest(ctx); err != nil {
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			break
		}
		if n > 1<<20 {
			t.Fatalf("nobody rests (%d)", sum)
		}
	}
	got, err := io.ReadAll(slow.paced(t.Context(), io.NopCloser(bytes.NewReader(text))))
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d bytes come of %d, %v", len(got), len(text), err)
	}
}
