package store

import "testing"

// The model that is refused gives way to the one that runs meanwhile, else to the one before; where
// there is neither it stays. Who is not the active one is not refused.
func TestGoBack(t *testing.T) {
	tried := state{Active: "new", Previous: "old", Trial: 1, Boot: "b1", Crashes: 1}
	twice := tried
	twice.Unproven = true
	alone := tried
	alone.Previous = ""
	proven := state{Active: "new"}
	for name, tt := range map[string]struct {
		st              state
		sum, running    string
		active, before  string
		onTrial, blamed bool
	}{
		"nothing runs":                    {tried, "new", "", "old", "", false, true},
		"the one before runs":             {tried, "new", "old", "old", "", false, true},
		"another runs, on its own trial":  {tried, "new", "third", "third", "old", true, true},
		"the one before proved nothing":   {twice, "new", "", "old", "", true, true},
		"nothing before, nothing runs":    {alone, "new", "", "new", "", true, true},
		"nothing before, another runs":    {alone, "new", "third", "third", "", true, true},
		"another is active by now":        {tried, "gone", "old", "new", "old", true, false},
		"proven and alone, and it breaks": {proven, "new", "", "new", "", false, true},
	} {
		next := tt.st.goBack(tt.sum, tt.running, "no memory")
		if next.Active != tt.active || next.Previous != tt.before || (next.Trial > 0) != tt.onTrial {
			t.Errorf("%s: %+v, want %s, before it %q, on trial %v", name, next, tt.active, tt.before, tt.onTrial)
		}
		if blamed := next.Refused != nil; blamed != tt.blamed || blamed &&
			*next.Refused != (Refusal{tt.sum, "no memory"}) {
			t.Errorf("%s: refused %+v", name, next.Refused)
		}
	}
}

// The bundle that runs and the one before it are kept before all others, then the last used.
func TestRank(t *testing.T) {
	st := state{Active: "a", Previous: "b", Turn: 9, Used: map[string]int{"a": 1, "b": 2, "c": 9, "d": 4}}
	order := []string{"a", "b", "c", "d", "never"}
	for i := 1; i < len(order); i++ {
		if st.rank(order[i-1]) <= st.rank(order[i]) {
			t.Errorf("%s (%d) does not come before %s (%d)", order[i-1], st.rank(order[i-1]), order[i],
				st.rank(order[i]))
		}
	}
	st.touch("d")
	if st.rank("d") <= st.rank("c") || st.rank("d") >= st.rank("b") {
		t.Errorf("used just now, d ranks %d beside %d and %d", st.rank("d"), st.rank("b"), st.rank("c"))
	}
}

// A model that is activated is on trial. What it would go back to is the last that proved itself,
// else one that did nothing wrong. One that is active already stays as it is; what was refused is
// forgotten.
func TestStateActivate(t *testing.T) {
	for name, tt := range map[string]struct {
		st             state
		before         string
		trial, unproof bool
	}{
		"the first": {state{}, "", true, false},
		"after a proven one": {state{Active: "old", Refused: &Refusal{SHA256: "x"}}, "old", true,
			false},
		"the active one, proven":             {state{Active: "new", Previous: "old"}, "old", false, false},
		"the active one, on trial":           {state{Active: "new", Previous: "old", Trial: 1}, "old", true, false},
		"after a trial, a proven one before": {state{Active: "mid", Previous: "old", Trial: 1}, "old", true, false},
		"after a trial, nothing before":      {state{Active: "mid", Trial: 1}, "mid", true, true},
		"after a trial, an unproven one before": {state{Active: "mid", Previous: "old", Unproven: true, Trial: 1},
			"mid",
			true, true},
		"after a trial that crashed": {state{Active: "mid", Trial: 1, Crashes: 1}, "", true, false},
		"after one that was refused": {state{Active: "mid", Trial: 1, Refused: &Refusal{SHA256: "mid"}}, "", true,
			false},
		"back to the one before": {state{Active: "mid", Previous: "new", Trial: 1}, "", true, false},
	} {
		tt.st.activate("new")
		if tt.st.Active != "new" || tt.st.Previous != tt.before || (tt.st.Trial > 0) != tt.trial ||
			tt.st.Unproven != tt.unproof || tt.st.Refused != nil {
			t.Errorf("%s: %+v", name, tt.st)
		}
	}
}
