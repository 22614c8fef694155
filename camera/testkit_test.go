package camera

import (
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
	s, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
