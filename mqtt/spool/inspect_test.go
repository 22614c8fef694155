package spool

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// contents are the bytes of every file of a folder.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(dir + "/*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			all[name] = string(b)
		}
	}
	return all
}

// Inspect tells what waits and what is damaged, and changes nothing; Repair makes damage good as
// far as it goes, and the loss is told at the next start. Neither disturbs an agent at work.
func TestInspectAndRepair(t *testing.T) {
	dir := t.TempDir() + "/spool"
	if _, err := Inspect(dir, nil); err == nil {
		t.Error("a folder that is not there was inspected")
	}
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	give(t, s, Sync, 150)
	give(t, s, Async, 150)
	s.Connect()
	var r Record
	for range 10 {
		s.Take(&r)
		s.Ack(r.Seq)
	}
	force(s)
	if sum, err := Inspect(dir, nil); err != nil || !sum.InUse || sum.Records != 290 {
		t.Errorf("at work: %+v, %v", sum, err)
	}
	if _, err := Repair(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("repair at work: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look := func(want Summary) {
		t.Helper()
		want.StreamID, want.Files, want.Bytes, want.Last = s.StreamID(), 2, 2*SegmentSize, 300
		before := contents(t, dir)
		n := 0
		got, err := Inspect(dir, func(*Record) bool { n++; return n < 5 })
		if err != nil || got != want || n != 5 {
			t.Errorf("%+v, %v, %d seen; want %+v", got, err, n, want)
		}
		after := contents(t, dir)
		for name, b := range before {
			if after[name] != b {
				t.Errorf("%s changed", name)
			}
		}
	}
	look(Summary{First: 11, Records: 290})

	segments, _ := filepath.Glob(dir + "/sync-*.seg")
	b, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	b[20*padded(headerSize+1+100)+50] ^= 1 // in record 31: the first ten were never written
	if err := os.WriteFile(segments[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	look(Summary{First: 11, Records: 289, Damaged: 1, Dropped: 1})
	if sum, err := Repair(dir); err != nil || sum.Records != 289 || sum.Damaged != 0 || sum.Dropped != 1 {
		t.Errorf("repair: %+v, %v", sum, err)
	}
	look(Summary{First: 11, Records: 289, Dropped: 1})
	if bad, _ := filepath.Glob(dir + "/bad/sync-*.seg"); len(bad) != 1 {
		t.Errorf("set aside: %v", bad)
	}
	if s, err = Open(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Connect()
	if got := takeAll(t, s); len(got) != 289 || got[20] != 32 {
		t.Errorf("%d records came: %v", len(got), got)
	}
	if l := s.Lost(Damaged); l != (Loss{1, 31, 31}) {
		t.Errorf("lost %+v", l)
	}
}
