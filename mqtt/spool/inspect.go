package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Summary is what the folder of a spool holds.
type Summary struct {
	StreamID    string
	First, Last uint64 // numbers of the records that wait; 0: none does
	Records     int    // that wait
	Files       int    // of records
	Bytes       int64  // of those
	Damaged     int    // places in the files that wait that hold no record
	Dropped     uint64 // records that are lost, and that no event tells of yet
	InUse       bool   // an agent is at work on it: the figures may be half-way through its last write
}

// Inspect reads a folder without changing anything in it, and calls see with every record that
// waits, oldest first, until see returns false; see may be nil. The record is valid until see
// returns. Root looks as the folder's owner.
func Inspect(dir string, see func(*Record) bool) (sum Summary, err error) {
	err = asOwner(dir, func() error {
		sum, err = inspect(dir, see)
		return err
	})
	return sum, err
}

func inspect(dir string, see func(*Record) bool) (Summary, error) {
	if err := isSpool(dir); err != nil {
		return Summary{}, fmt.Errorf("spool: inspect: %w", err)
	}
	s := newSpool(dir, Options{FS: looking{}})
	if err := s.read(); err != nil {
		return Summary{}, fmt.Errorf("spool: inspect %s: %w", dir, err)
	}
	sum := s.walk(see)
	sum.InUse = locked(dir)
	return sum, nil
}

// isSpool is an error for what is no folder, and for one with files in it of which none is a spool's.
func isSpool(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder: give the folder spool of the agent's state folder; what lies in its "+
			"place the agent moves aside at its start", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return err
	}
	for _, e := range entries {
		own := slices.Contains([]string{"stream", "cursor", "bad", "lock"}, e.Name())
		if own || filepath.Ext(e.Name()) == ".seg" {
			return nil
		}
	}
	return fmt.Errorf("%s is no spool: no file of one lies in it; give the folder spool of the agent's state "+
		"folder", dir)
}

// Repair writes the records that hold in damaged files anew, puts copies of those files into the
// folder bad, and remembers for the agent's next start which numbers are lost. It fails with
// ErrInUse while an agent has the folder. Root does it as the folder's owner, to whom the files
// must belong, and gives that account what root has made there.
func Repair(dir string) (sum Summary, err error) {
	err = asOwner(dir, func() error {
		sum, err = repair(dir)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: give it to the account of the agent: chown -R ACCOUNT %s", err, dir)
		}
		return err
	})
	return sum, err
}

func repair(dir string) (Summary, error) {
	if err := isSpool(dir); err != nil {
		return Summary{}, fmt.Errorf("spool: repair: %w", err)
	}
	s, err := Open(dir, Options{})
	if err == nil {
		err = s.State().Err
	}
	if err != nil {
		return Summary{}, err
	}
	s.load()
	for _, log := range s.disk.logs {
		for _, seg := range log {
			if seg.damaged > 0 {
				err = errors.Join(err, s.disk.mend(seg))
			}
		}
	}
	sum := s.walk(nil)
	sum.Damaged = 0
	if err := errors.Join(err, s.Close()); err != nil {
		return sum, fmt.Errorf("spool: repair %s: %w", dir, err)
	}
	return sum, nil
}

// read is what Open does with what is there, without a lock and without numbers for new records.
func (s *Spool) read() error {
	if _, err := s.recall(); err != nil {
		return err
	}
	s.before = s.seq
	s.load()
	s.seq = max(s.onDisk, s.acked) // above it, numbers were reserved and never given
	s.ring.begin(s.seq + 1)
	return nil
}

// walk goes through what waits, without acknowledging it.
func (s *Spool) walk(see func(*Record) bool) Summary {
	sum := Summary{StreamID: s.id, Damaged: s.state.Damaged, Files: s.disk.segments()}
	sum.Bytes = int64(sum.Files) * s.disk.size
	s.Connect()
	var r Record
	for s.Take(&r) {
		if sum.Records++; sum.Records == 1 {
			sum.First = r.Seq
		}
		sum.Last = r.Seq
		if see != nil && !see(&r) {
			see = nil
		}
	}
	for reason, lost := range s.lost {
		if Reason(reason) != UncleanStop {
			sum.Dropped += lost.Count
		}
	}
	return sum
}

// mend replaces a damaged segment by one with the records that hold. It was set aside when it was
// read.
func (d *disk) mend(s *segment) error {
	name := segmentName(s.class, s.n)
	b, _ := d.read(name) // what cannot be read is zero
	clean := make([]byte, 0, d.size)
	scan(b, s.class, s.n, func(_ int64, r *Record) { clean = appendRecord(clean, r, crcSeed(s.n)) })
	end := int64(len(clean))
	aside := fmt.Sprintf("%s-%016x.seg", freePrefix, d.next)
	d.next++
	f, err := d.fs.Create(filepath.Join(d.dir, aside))
	if err != nil {
		return err
	}
	_, err = f.WriteAt(clean[:d.size], 0)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = d.fs.Rename(filepath.Join(d.dir, aside), filepath.Join(d.dir, name))
	}
	if err == nil {
		err = d.fs.SyncDir(d.dir)
	}
	if err == nil {
		d.forget(s)
		s.end, s.damaged = end, 0
	}
	return err
}

// looking is the machine's file system for who must not change it.
type looking struct{ OS }

func (looking) Open(path string) (File, error) { return wrap(openFile(path, os.O_RDONLY)) }

func (looking) MkdirAll(string) error       { return fs.ErrPermission }
func (looking) Create(string) (File, error) { return nil, fs.ErrPermission }
func (looking) Rename(string, string) error { return fs.ErrPermission }
func (looking) Remove(string) error         { return nil } // list tidies up, and need not
