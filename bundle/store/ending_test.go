package store

import "testing"

// TestBegin: only a crash, recorded in the boot in which the model on trial began, counts; and
// where nothing proved itself before, the model stays.
func TestBegin(t *testing.T) {
	crash := func(signal string) *Ending { return &Ending{"b1", "core-dump", "dumped", signal} }
	on := state{Active: "new", Previous: "old", Trial: 1, Boot: "b1", Crashes: 1}
	alone := on
	alone.Previous = ""
	fresh, proven := on, on
	fresh.Boot, fresh.Crashes = "", 0
	proven.Trial = 0
	for name, tt := range map[string]struct {
		st      state
		boot    string
		end     *Ending
		active  string
		refused bool
	}{
		"second SIGSEGV":            {on, "b1", crash("SEGV"), "old", true},
		"second SIGABRT":            {on, "b1", &Ending{"b1", "signal", "killed", "ABRT"}, "old", true},
		"second SIGBUS":             {on, "b1", crash("BUS"), "old", true},
		"second SIGFPE":             {on, "b1", crash("SIGFPE"), "old", true},
		"nothing before":            {alone, "b1", crash("SEGV"), "new", true},
		"first crash":               {state{Active: "new", Trial: 1, Boot: "b1"}, "b1", crash("SEGV"), "new", false},
		"never began":               {fresh, "b1", crash("SEGV"), "new", false},
		"another boot":              {on, "b2", crash("SEGV"), "new", false},
		"recorded in another boot":  {on, "b1", &Ending{"b0", "core-dump", "dumped", "SEGV"}, "new", false},
		"loss of power":             {on, "b2", nil, "new", false},
		"SIGKILL":                   {on, "b1", &Ending{"b1", "signal", "killed", "KILL"}, "new", false},
		"out of memory":             {on, "b1", &Ending{"b1", "oom-kill", "killed", "KILL"}, "new", false},
		"frozen, by the watchdog":   {on, "b1", &Ending{"b1", "watchdog", "dumped", "ABRT"}, "new", false},
		"exit code 11":              {on, "b1", &Ending{"b1", "exit-code", "exited", "11"}, "new", false},
		"stopped":                   {on, "b1", &Ending{"b1", "success", "killed", "TERM"}, "new", false},
		"boot without a name":       {on, "", crash("SEGV"), "new", false},
		"proven, whatever happened": {proven, "b1", crash("SEGV"), "new", false},
	} {
		next, refused := tt.st.begin(tt.boot, tt.end)
		if next.Active != tt.active || refused != tt.refused {
			t.Errorf("%s: active %s, refused %v, want %s, %v", name, next.Active, refused, tt.active, tt.refused)
		}
		if refused != (next.Refused != nil) {
			t.Errorf("%s: what was refused is remembered as %v", name, next.Refused)
		}
	}
}
