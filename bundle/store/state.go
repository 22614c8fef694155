package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// patience is how many starts a model may fail that has never run to the end of its trial.
const patience = 2

// state is the store's memory, in state.json.
type state struct {
	Active   string `json:"active,omitempty"`
	Previous string `json:"previous,omitempty"` // what Refuse goes back to; empty: no installed one
	// 0: Active has proved itself; else 1 + the starts since its activation
	Trial   int            `json:"trial,omitempty"`
	Turn    int            `json:"turn"`              // counts the uses, for a device may have no clock
	Used    map[string]int `json:"used"`              // digest → turn of its last use
	Refused *Refusal       `json:"refused,omitempty"` // the last
}

// Refusal is a model that was activated and could not run.
type Refusal struct {
	SHA256 string `json:"sha256"`
	Reason string `json:"reason"`
}

func (st *state) touch(sum string) {
	st.Turn++
	st.Used[sum] = st.Turn
}

// rank orders bundles by use; what runs, and what it would go back to, come before all others.
func (st *state) rank(sum string) int {
	switch sum {
	case st.Active:
		return st.Turn + 2
	case st.Previous:
		return st.Turn + 1
	}
	return st.Used[sum]
}

// Activate makes an installed bundle the one that the agent runs from its next start on, at first
// on trial: see Begin, Confirm and Refuse. All its files are compared with their digests before.
// Whether it answers right is not seen here: that is verify's work.
func (s *Store) Activate(ctx context.Context, sum string) (Installed, error) {
	i, err := s.Find(sum)
	if err != nil {
		return i, err
	}
	if err := bundle.CheckAll(ctx, i.Dir); err != nil {
		return i, fmt.Errorf("store: activate: %w", err)
	}
	unlock, err := s.lock()
	if err != nil {
		return i, fmt.Errorf("store: activate: %w", err)
	}
	defer unlock()
	err = s.edit(func(st *state) error {
		st.touch(i.SHA256)
		st.Refused = nil
		if st.Active == i.SHA256 {
			return nil
		}
		if st.Trial == 0 {
			st.Previous = st.Active
		}
		st.Active, st.Trial = i.SHA256, 1
		return nil
	})
	if err != nil {
		return i, fmt.Errorf("store: activate: %w", err)
	}
	i.Active = true
	return i, nil
}

// Active is the bundle to run; ok is false where none was ever activated.
func (s *Store) Active() (i Installed, ok bool, err error) {
	st, err := s.read()
	if err != nil {
		return i, false, fmt.Errorf("store: %w", err)
	}
	if st.Active == "" {
		return i, false, nil
	}
	i, err = s.Find(st.Active)
	return i, err == nil, err
}

// Begin is Active for an agent that starts: it counts the starts of a model on trial, and goes back
// to the one before where the process did not outlive them. Of such a model refused says why.
func (s *Store) Begin() (i Installed, ok bool, refused *Refusal, err error) {
	st, err := s.read()
	if err != nil || st.Trial == 0 { // what proved itself costs a start no writing
		if err == nil {
			i, ok, err = s.Active()
		}
		return i, ok, nil, err
	}
	unlock, err := s.lock()
	if err != nil {
		return i, false, nil, fmt.Errorf("store: %w", err)
	}
	defer unlock()
	err = s.edit(func(st *state) error {
		switch {
		case st.Trial == 0:
		case st.Trial > patience:
			st.refuse(fmt.Sprintf("the agent ended %d times while it ran this model for the first time", patience))
			refused = st.Refused
		default:
			st.Trial++
		}
		return nil
	})
	if err != nil {
		return i, false, nil, fmt.Errorf("store: %w", err)
	}
	i, ok, err = s.Active()
	return i, ok, refused, err
}

// Confirm ends the trial of a model that runs.
func (s *Store) Confirm(sum string) error {
	st, err := s.read()
	if err == nil && (st.Active != sum || st.Trial == 0) {
		return nil
	}
	return s.change("confirm", func(st *state) error {
		if st.Active == sum {
			st.Trial, st.Previous = 0, ""
		}
		return nil
	})
}

// Refuse goes back from the active model, because of reason, to the one that runs meanwhile; where
// none does (running is empty), to the last one that has proved itself.
func (s *Store) Refuse(sum, running string, reason error) error {
	return s.change("refuse", func(st *state) error {
		if st.Active != sum {
			return nil
		}
		proven := st.Previous
		st.refuse(reason.Error())
		if running != "" && running != proven {
			st.Active, st.Previous, st.Trial = running, proven, 2 // its own trial goes on
		}
		return nil
	})
}

// Refused is the last model that could not run, since the last activation; nil: none.
func (s *Store) Refused() (*Refusal, error) {
	st, err := s.read()
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return st.Refused, nil
}

func (st *state) refuse(reason string) {
	st.Refused = &Refusal{st.Active, reason}
	st.Active, st.Previous, st.Trial = st.Previous, "", 0
}

// change is edit under the lock.
func (s *Store) change(what string, edit func(*state) error) error {
	unlock, err := s.lock()
	if err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	defer unlock()
	if err := s.edit(edit); err != nil {
		return fmt.Errorf("store: %s: %w", what, err)
	}
	return nil
}

func (s *Store) file() string { return filepath.Join(s.dir, "state.json") }

// read returns the state; that of an empty store where nothing was written yet.
func (s *Store) read() (*state, error) {
	st := &state{Used: make(map[string]int)}
	text, err := os.ReadFile(s.file())
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): remove it, then activate a model again", s.file(), err)
	}
	if st.Used == nil {
		st.Used = make(map[string]int)
	}
	return st, nil
}

// edit changes the state, all of it or nothing. The lock is held.
func (s *Store) edit(change func(*state) error) error {
	st, err := s.read()
	if err != nil {
		return err
	}
	if err := change(st); err != nil {
		return err
	}
	err = atomicfile.WriteFile(s.file(), func(w io.Writer) error { return json.NewEncoder(w).Encode(st) })
	return errors.Join(err, s.adopt())
}
