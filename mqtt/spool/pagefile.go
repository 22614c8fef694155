package spool

import (
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
type pageFile struct {
	fs   FS
	path string
	mu   sync.Mutex // of what follows
	file File
	gen  uint64
	page [pageSize]byte
}

const (
	pageSize   = 4096
	pageHeader = 8 + 4 + 4
)

// open reads the newest page that holds; nil where there is none. The file need not exist.
func (s *pageFile) open() ([]byte, error) {
	f, err := s.fs.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s.file = f
	var newest []byte
	for i := range int64(2) {
		page := make([]byte, pageSize)
		if n, _ := f.ReadAt(page, i*pageSize); n < pageHeader { // what cannot be read does not hold
			continue
		}
		if gen, value := readSlot(page); value != nil && (newest == nil || gen > s.gen) {
			s.gen, newest = gen, value
		}
	}
	return newest, nil
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
	s.gen++
	p := s.page[:pageHeader+len(value)]
	binary.LittleEndian.PutUint64(p, s.gen)
	binary.LittleEndian.PutUint32(p[8:], uint32(len(value)))
	binary.LittleEndian.PutUint32(p[12:], slotSum(p[:12], value))
	copy(p[pageHeader:], value)
	_, err := s.file.WriteAt(p, int64(s.gen%2)*pageSize)
	return err
}

// create makes the file with its blocks, where it is not there yet.
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
