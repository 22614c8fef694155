package camera

import (
	"context"
	"errors"
	"testing"
)

// needOpenCV skips where there is none.
func needOpenCV(t testing.TB) machine {
	t.Helper()
	m, err := thisMachine()
	if errors.Is(err, ErrNoOpenCV) {
		t.Skip("built without OpenCV (tag gocv)")
	} else if err != nil {
		t.Fatal(err)
	}
	return m
}

// mustOpen opens a source for a test, which closes it.
func mustOpen(t testing.TB, c Config) *Stream {
	t.Helper()
	if c.Name == "" {
		c.Name = "test"
	}
	s, done, err := openPumped(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return s
}

// openPumped opens a source as package worker does; done is closed when nothing of it runs any more.
func openPumped(ctx context.Context, c Config) (s *Stream, done <-chan struct{}, err error) {
	ended := make(chan struct{})
	if s, err = Open(ctx, c); err != nil {
		return nil, nil, err
	}
	pump := s.Pump()
	if pump == nil {
		pump = func() {}
	}
	go func() {
		defer close(ended)
		pump()
	}()
	return s, ended, nil
}
