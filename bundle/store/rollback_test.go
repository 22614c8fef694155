package store

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// TestRollback: the bundle before is active again, and what was left is not tried again by itself;
// one that is not there, damaged or not approved of changes nothing.
func TestRollback(t *testing.T) {
	s := At(t.TempDir())
	revoked := errors.New("bundle is revoked")
	roll := func(what string, approve Approve, want string, active Installed) {
		t.Helper()
		i, err := s.Rollback(t.Context(), approve)
		if want == "" && (err != nil || i.SHA256 != active.SHA256 || i.Version != active.Version || !i.Active) ||
			want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %+v, %v, want %q", what, i, err, want)
		}
		if now, _, err := s.Active(); err != nil || now.SHA256 != active.SHA256 {
			t.Errorf("%s: %.8s is active, want %.8s; %v", what, now.SHA256, active.SHA256, err)
		}
	}
	activate := func(i Installed) {
		t.Helper()
		if _, err := s.Activate(t.Context(), i.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	roll("nothing was ever activated", nil, "there is no model before", Installed{})
	a, b := install(t, s, testBundle(t, "a")), install(t, s, testBundle(t, "b"))
	activate(a)
	roll("the first", nil, "there is no model before", a)
	if err := s.Confirm(a.SHA256); err != nil {
		t.Fatal(err)
	}
	activate(b)
	roll("revoked", func(string) error { return revoked }, revoked.Error(), b)
	roll("on trial", func(dir string) error {
		if dir != a.Dir {
			t.Errorf("asked for %s, want %s", dir, a.Dir)
		}
		return nil
	}, "", a)
	if now, _, _ := s.Active(); now.OnTrial {
		t.Error("what had proved itself is on trial again")
	}
	if r, err := s.Begin(t.Context(), "boot"); err != nil || r.Refused != nil {
		t.Errorf("a start after it finds %+v, %v, want nothing refused", r, err)
	}
	if r, hand, ok := s.SetAside(b.SHA256); !ok || !hand || r.SHA256 != b.SHA256 {
		t.Errorf("%+v, %v, %v, want what was left set aside by hand", r, hand, ok)
	}
	roll("twice", nil, "there is no model before", a)
	activate(b)
	if _, _, ok := s.SetAside(b.SHA256); ok {
		t.Error("activated by hand and still set aside")
	}
	put(t, filepath.Join(a.Dir, "net/fp32.onnx"), "A")
	roll("damaged", nil, "cannot come back", b)
}

// What a model goes back to is not lost where another was tried in between and refused.
func TestEarlier(t *testing.T) {
	st := state{Active: "a", Used: map[string]int{}}
	st.activate("b")
	st.activate("c") // while b is on trial: a, which proved itself, stays the one before
	st = st.goBack("c", "b", "no network")
	if st.Active != "b" || st.Previous != "a" || st.Trial != 1 || len(st.Earlier) != 0 {
		t.Errorf("one refused beside a trial leaves %+v, want a before b", st)
	}
	st = state{}
	for _, sum := range []string{"a", "b", "c"} { // none of which has proved itself
		st.activate(sum)
	}
	st.refuse("a NaN")
	if st.Active != "b" || st.Previous != "a" || !st.Unproven || st.Trial != 1 {
		t.Errorf("two back: %+v, want a before b", st)
	}
	st.activate("d")
	st.forget("b")
	if st.Previous != "a" {
		t.Errorf("the one before was removed: %+v, want a", st)
	}
	st.activate("a")
	if st.Previous != "d" || len(st.Earlier) != 0 {
		t.Errorf("back to a by hand: %+v, want d before it, and nothing before that", st)
	}
}

// What was refused is remembered over later activations, the last ones of many.
func TestSetAside(t *testing.T) {
	s := At(t.TempDir())
	a, b := install(t, s, testBundle(t, "a")), install(t, s, testBundle(t, "b"))
	for _, i := range []Installed{a, b} {
		if _, err := s.Activate(t.Context(), i.SHA256); err != nil {
			t.Fatal(err)
		}
		if i == a {
			if err := s.Confirm(a.SHA256); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Refuse(b.SHA256, "", errors.New("a NaN")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Activate(t.Context(), a.SHA256); err != nil {
		t.Fatal(err)
	}
	if r, hand, ok := s.SetAside(b.SHA256); !ok || hand || r.Reason != "a NaN" {
		t.Errorf("%+v, %v, %v, want the reason", r, hand, ok)
	}
	if _, _, ok := s.SetAside(a.SHA256); ok {
		t.Error("the active one is set aside")
	}
	var st state
	for i := range asideLimit + 5 {
		st.setAside(Refusal{SHA256: string(rune('A' + i))})
	}
	if len(st.Aside) != asideLimit || st.Aside[0].SHA256 != "F" {
		t.Errorf("%d are remembered, the first %q", len(st.Aside), st.Aside[0].SHA256)
	}
}
