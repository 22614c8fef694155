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
	"slices"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/internal/atomicfile"
)

// patience is how many crashes of a model on trial are let pass before it is refused.
const patience = 2

// stateLimit is the largest state.json, and record beside it, that is read, bytes.
const stateLimit = 1 << 20

// errStateDamaged is why nobody knows which model is active.
var errStateDamaged = errors.New("is damaged: activate a model again, which writes it anew")

// state is the store's memory, in state.json.
type state struct {
	Active string `json:"active,omitempty"`
	// what was active before Active; empty: none. Where Active is on trial, Refuse goes back to it.
	Previous string `json:"previous,omitempty"`
	// Previous has not proved itself either, but did nothing wrong
	Unproven bool            `json:"previous_unproven,omitempty"`
	Earlier  []earlier       `json:"earlier,omitempty"`  // what Previous took the place of, the latest at the end
	Trial    int             `json:"trial,omitempty"`    // 0: Active has proved itself; else it is on trial
	Boot     string          `json:"boot,omitempty"`     // in which it last began on trial; empty: it never did
	Crashes  int             `json:"crashes,omitempty"`  // of the agent in that boot, since it is on trial
	Progress json.RawMessage `json:"progress,omitempty"` // of the trial, as whoever tries the model wrote it
	Turn     int             `json:"turn"`               // counts the uses, for a device may have no clock
	Used     map[string]int  `json:"used"`               // digest → turn of its last use
	Refused  *Refusal        `json:"refused,omitempty"`  // the last, since the last activation
	Awaited  string          `json:"awaited,omitempty"`  // is to be activated at its time; empty: nothing is
	Aside    []Refusal       `json:"aside,omitempty"`    // all that are not tried again, the last at the end
}

// earlier is a model that was active once.
type earlier struct {
	SHA256   string `json:"sha256"`
	Unproven bool   `json:"unproven,omitempty"`
}

// Refusal is a model that was activated and could not run, or crashed the agent.
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
	i, err := s.activate(ctx, sum)
	if err != nil {
		return i, fmt.Errorf("store: activate: %w", err)
	}
	i.Active = true
	return i, nil
}

func (s *Store) activate(ctx context.Context, sum string) (Installed, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return Installed{}, err
	}
	defer unlock()
	i, err := s.find(sum) // under the lock: nobody removes it meanwhile
	if err != nil {
		return i, err
	}
	if err := bundle.CheckAll(ctx, i.Dir); err != nil {
		return i, err
	}
	return i, s.edit(func(st *state) error {
		st.touch(i.SHA256)
		st.activate(i.SHA256)
		return nil
	})
}

// activate puts a model on trial. What it goes back to is the last that proved itself, else one
// that at least did nothing wrong.
func (st *state) activate(sum string) {
	spoilt := st.Refused != nil && st.Refused.SHA256 == st.Active
	st.Refused, st.Awaited = nil, ""
	st.takeBack(sum)
	if st.Active == sum {
		st.Crashes = 0
		st.Progress = nil
		return
	}
	switch {
	case st.Trial == 0:
		st.push(st.Active, false)
	case (st.Previous == "" || st.Unproven) && !spoilt && st.Crashes == 0:
		st.push(st.Active, true)
	}
	st.forget(sum)
	st.Active, st.Trial, st.Boot, st.Crashes, st.Progress = sum, 1, "", 0, nil
}

// push makes a model the one to go back to.
func (st *state) push(sum string, unproven bool) {
	if st.Previous != "" {
		st.Earlier = append(st.Earlier, earlier{st.Previous, st.Unproven})
	}
	st.Previous, st.Unproven = sum, unproven
}

// pop makes the one before the model to go back to that one; where there is none, there is none to
// go back to.
func (st *state) pop() {
	st.Previous, st.Unproven = "", false
	if last := len(st.Earlier) - 1; last >= 0 {
		st.Previous, st.Unproven = st.Earlier[last].SHA256, st.Earlier[last].Unproven
		st.Earlier = st.Earlier[:last]
	}
}

// forget leaves a model out of those to go back to.
func (st *state) forget(sum string) {
	st.Earlier = slices.DeleteFunc(slices.Clone(st.Earlier), func(e earlier) bool { return e.SHA256 == sum })
	if st.Previous == sum {
		st.pop()
	}
}

// Active is the bundle to run; ok is false where none was ever activated. Whether it is there, and
// whole, is not looked at: opening it says so.
func (s *Store) Active() (i Installed, ok bool, err error) {
	st, err := s.read()
	if err != nil {
		return Installed{Dir: s.file(), Active: true}, !errors.Is(err, fs.ErrPermission), fmt.Errorf("store: %w", err)
	}
	return s.installed(st.Active, st), st.Active != "", nil
}

// installed is the bundle of a digest, but for its name.
func (s *Store) installed(sum string, st *state) Installed {
	active := sum == st.Active
	return Installed{SHA256: sum, Active: active, OnTrial: active && st.Trial > 0, Dir: filepath.Join(s.dir, sum)}
}

// Beginning is what a start of the agent finds.
type Beginning struct {
	Installed          // to run
	OK        bool     // false: none was ever activated
	Refused   *Refusal // a model that was refused since the last activation; nil: none
	Now       bool     // by this start
	Progress  []byte   // of the trial, as it was kept; nil: nothing was
}

// Begin is Active for an agent that starts in the given boot. Of a model on trial it counts the
// crashes of the agent, and goes back to the one before where there were too many.
func (s *Store) Begin(ctx context.Context, boot string) (Beginning, error) {
	end := s.ending()
	st, err := s.read()
	if err != nil {
		return Beginning{}, fmt.Errorf("store: %w", err)
	}
	s.putMark(st.Active) // of one that was activated before there were marks
	now := false
	if st.Trial > 0 { // what proved itself costs a start no writing
		now, err = s.beginTrial(ctx, boot, end, &st)
	}
	if end != nil {
		err = errors.Join(err, s.forgetEnding())
	}
	if err != nil {
		return Beginning{}, fmt.Errorf("store: %w", err)
	}
	return Beginning{s.installed(st.Active, st), st.Active != "", st.Refused, now, st.Progress}, nil
}

// beginTrial writes down what begin decides.
func (s *Store) beginTrial(ctx context.Context, boot string, end *Ending, now **state) (refused bool, err error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return false, err
	}
	defer unlock()
	err = s.edit(func(st *state) error {
		*st, refused = st.begin(boot, end)
		*now = st
		return nil
	})
	return refused, err
}

// begin is what a start in the given boot makes of the state, where the process before ended so
// (nil: nobody knows). A crash counts for the model on trial only where the model was running in
// this very boot. After patience of them the one before is active again; where there is none, the
// model stays, and is named as the cause: no other network ever speaks in its place.
func (st state) begin(boot string, end *Ending) (next state, refused bool) {
	if st.Trial == 0 {
		return st, false
	}
	switch {
	case boot == "" || st.Boot != boot:
		st.Crashes = 0
	case end.crashed() && end.Boot == boot:
		st.Crashes++
		refused = st.Crashes >= patience
	}
	st.Boot = boot
	if refused {
		st.refuse(fmt.Sprintf("the agent crashed %d times (SIG%s) while it ran this model for the first time",
			st.Crashes,
			strings.TrimPrefix(end.Status, "SIG")))
	}
	return st, refused
}

// Confirm ends the trial of a model that runs.
func (s *Store) Confirm(sum string) error {
	st, err := s.read()
	if err == nil && (st.Active != sum || st.Trial == 0) {
		return nil
	}
	return s.change("confirm", func(st *state) error {
		if st.Active == sum {
			st.Trial, st.Boot, st.Crashes, st.Progress = 0, "", 0, nil
			if st.Refused != nil && st.Refused.SHA256 == sum {
				st.Refused = nil
			}
		}
		return nil
	})
}

// Keep remembers how far the trial of a model is, for the next Begin: JSON that only the caller
// reads. Of a model that is not on trial nothing is kept.
func (s *Store) Keep(sum string, progress []byte) error {
	return s.change("keep", func(st *state) error {
		if st.Active == sum && st.Trial > 0 {
			st.Progress = progress
		}
		return nil
	})
}

// Await remembers a model that is to be activated at its time: an end of the process in between must
// not lose it. The next activation, of whatever model, forgets it.
func (s *Store) Await(sum string) error {
	return s.change("await", func(st *state) error { st.Awaited = sum; return nil })
}

// Awaits reports whether the model is to be activated at its time.
func (s *Store) Awaits(sum string) bool {
	st, err := s.read()
	return err == nil && st.Awaited == sum
}

// Refuse goes back from the active model, because of reason, to the one that runs meanwhile; where
// none does (running is empty), to the one before. Where there is none either, it stays the active
// one.
func (s *Store) Refuse(sum, running string, reason error) error {
	return s.change("refuse", func(st *state) error {
		*st = st.goBack(sum, running, reason.Error())
		return nil
	})
}

// goBack is what Refuse makes of the state. A model that runs meanwhile, and is not the one before,
// is on its own trial, which goes on.
func (st state) goBack(sum, running, reason string) state {
	if st.Active != sum {
		return st
	}
	before, unproven, rest := st.Previous, st.Unproven, st.Earlier
	st.refuse(reason)
	if running != "" && running != before {
		st.setAside(*st.Refused)
		st.Active, st.Previous, st.Unproven, st.Earlier, st.Trial = running, before, unproven, rest, 1
		st.forget(running)
	}
	return st
}

// Before is the model that was active before the active one; ok is false where none was.
func (s *Store) Before() (i Installed, ok bool) {
	st, err := s.read()
	if err != nil || st.Previous == "" {
		return i, false
	}
	return s.installed(st.Previous, st), true
}

// refuse goes back to the model before, where there is one.
func (st *state) refuse(reason string) {
	st.Refused = &Refusal{st.Active, reason}
	if st.Previous == "" {
		return
	}
	st.setAside(*st.Refused)
	st.Active, st.Trial, st.Boot, st.Crashes, st.Progress = st.Previous, 0, "", 0, nil
	if st.Unproven {
		st.Trial = 1
	}
	st.pop()
}

// change is edit under the lock.
func (s *Store) change(what string, edit func(*state) error) error {
	unlock, err := s.lock(context.Background())
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

// read returns the state; that of an empty store where nothing was written yet. One that names no
// model on a device where one was active is lost.
func (s *Store) read() (*state, error) {
	st, err := s.load()
	if err != nil {
		return nil, err
	}
	return st, s.lost(st)
}

// load returns what is in the file. Where there are bundles and no state, that was lost: it is written
// before the first of them.
func (s *Store) load() (*state, error) {
	st := &state{Used: make(map[string]int)}
	text, err := atomicfile.ReadSmall(s.file(), stateLimit)
	if errors.Is(err, fs.ErrNotExist) {
		if sums, _ := s.digests(); len(sums) == 0 {
			return st, nil
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("%s %w (%w)", s.file(), errStateDamaged, err)
	}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, fmt.Errorf("%s %w (%w)", s.file(), errStateDamaged, err)
	}
	sums := []string{st.Active, st.Previous}
	for _, e := range st.Earlier {
		sums = append(sums, e.SHA256)
	}
	for _, sum := range sums {
		if sum != "" && !bundle.IsDigest(sum) {
			return nil, fmt.Errorf("%s %w (%q is no digest)", s.file(), errStateDamaged, sum)
		}
	}
	st.bound()
	return st, nil
}

// turnLimit is more uses than a device sees.
const turnLimit = 1 << 40

// bound takes out turns that no use can have counted: they would rank something above what runs.
func (st *state) bound() {
	if st.Turn < 0 || st.Turn > turnLimit {
		st.Turn = 0
	}
	if st.Used == nil {
		st.Used = make(map[string]int)
	}
	for sum, turn := range st.Used {
		st.Used[sum] = min(max(turn, 0), st.Turn)
	}
	st.Trial, st.Crashes = max(st.Trial, 0), max(st.Crashes, 0)
}

// edit changes the state, all of it or nothing; one that is damaged is written anew. The lock is
// held.
func (s *Store) edit(change func(*state) error) error {
	st, err := s.load()
	if errors.Is(err, errStateDamaged) {
		st, err = &state{Used: make(map[string]int)}, nil
		if info, err := os.Lstat(s.file()); err == nil && !info.Mode().IsRegular() {
			if err := os.RemoveAll(s.file()); err != nil {
				return err
			}
		}
	}
	if err != nil {
		return err
	}
	if err := change(st); err != nil {
		return err
	}
	err = atomicfile.WriteFile(s.file(), func(w io.Writer) error { return json.NewEncoder(w).Encode(st) })
	if err == nil {
		s.putMark(st.Active)
	}
	return err
}
