package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"sync"
)

// pageFile is a small value kept in a file of two pages that are written in turn, so that a torn
// write leaves the one before. A page is generation, length, CRC-32C and value. After open, one
// goroutine may write while another syncs: a sync makes safe what was written before it, and no
// write waits for it.
//
// The first write fills both pages, so that later a page without a value is one that was lost, or
// torn by a power cut: which of the two was the newest one, nobody can tell then.
type pageFile struct {
	fs     FS
	path   string
	mu     sync.Mutex // of what follows
	file   File
	gen    uint64 // of the newest value; 0: there is none
	newest int64  // page that holds it
	page   [pageSize]byte
}

const (
	pageSize   = 4096
	pageHeader = 8 + 4 + 4
)

// open reads the newest page that holds; nil where there is none. It counts the pages that held
// something and do no more. The file need not exist.
func (s *pageFile) open() (newest []byte, lost int, err error) {
	f, err := s.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	s.file = f
	var gens []uint64
	for i := range int64(2) {
		page := make([]byte, pageSize)
		n, _ := f.ReadAt(page, i*pageSize) // what cannot be read does not hold
		clear(page[n:])
		gen, value := readSlot(page)
		if value == nil {
			if len(bytes.TrimLeft(page, "\x00")) > 0 {
				lost++
			}
			continue
		}
		gens = append(gens, gen)
		if newest == nil || gen > s.gen {
			s.gen, s.newest, newest = gen, i, value
		}
	}
	switch {
	case len(gens) == 1:
		lost = 1
	case len(gens) == 2 && max(gens[0], gens[1])-min(gens[0], gens[1]) != 1:
		lost = 1 // one of them is from long ago
	}
	return newest, lost, nil
}

func readSlot(page []byte) (gen uint64, value []byte) {
	length := binary.LittleEndian.Uint32(page[8:])
	if length > uint32(len(page)-pageHeader) {
		return 0, nil
	}
	value = page[pageHeader : pageHeader+int(length)]
	if slotSum(page[:12], value) != binary.LittleEndian.Uint32(page[12:]) || binary.LittleEndian.Uint64(page) == 0 {
		return 0, nil
	}
	return binary.LittleEndian.Uint64(page), value
}

func slotSum(header, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, header), castagnoli, value)
}

// write puts value into the page that does not hold the newest one. It is safe after sync.
func (s *pageFile) write(value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.create(); err != nil {
		return err
	}
	first := s.gen == 0
	err := s.put(value)
	if err == nil && first {
		err = s.put(value)
	}
	return err
}

// put writes one page. After an error the next one goes there again: the other page is still good.
func (s *pageFile) put(value []byte) error {
	p := s.page[:pageHeader+len(value)]
	binary.LittleEndian.PutUint64(p, s.gen+1)
	binary.LittleEndian.PutUint32(p[8:], uint32(len(value)))
	binary.LittleEndian.PutUint32(p[12:], slotSum(p[:12], value))
	copy(p[pageHeader:], value)
	if _, err := s.file.WriteAt(p, (1-s.newest)*pageSize); err != nil {
		return err
	}
	s.gen++
	s.newest = 1 - s.newest
	return nil
}

// takeBack forgets the last write, whose sync has failed: the next one goes to the same page.
func (s *pageFile) takeBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gen--
	s.newest = 1 - s.newest
}

// create makes the file with its blocks, where it is not there yet: on a disk that is full later, only
// its pages are written.
func (s *pageFile) create() error {
	if s.file != nil {
		return nil
	}
	f, err := s.fs.Create(s.path)
	if errors.Is(err, fs.ErrExist) { // an attempt that failed half-way
		f, err = s.fs.Open(s.path)
	}
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(make([]byte, 2*pageSize), 0); err == nil {
		if err = f.Sync(); err == nil {
			err = s.fs.SyncDir(filepath.Dir(s.path))
		}
	}
	if err != nil {
		f.Close()
		s.fs.Remove(s.path)
		return err
	}
	s.file = f
	return nil
}

func (s *pageFile) sync() error {
	s.mu.Lock()
	f := s.file
	s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.Sync()
}

func (s *pageFile) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}
