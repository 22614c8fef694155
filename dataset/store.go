package dataset

import (
	"os"
	"sync"
	memory "unsafe" // a function of this package has its name

	"github.com/vggse/vggse-agent/vision"
)

// Store keeps prepared pictures in a file, by their digests: what many sets with the same
// preprocessing and size go through is decoded and prepared once, and takes no memory that is
// needed elsewhere. A nil Store keeps nothing.
type Store struct {
	file  *os.File
	limit int64 // bytes

	mu  sync.Mutex
	at  map[string]int64 // places in the file
	end int64
}

// NewStore makes a store of up to limit bytes in a file in dir, which nobody else sees: it is gone
// with Close, or with this process.
func NewStore(dir string, limit int64) (*Store, error) {
	f, err := os.CreateTemp(dir, ".pictures.*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return &Store{file: f, limit: limit, at: map[string]int64{}}, nil
}

// Close gives the room back.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}

// load fills t with the picture of a digest, if it is kept.
func (s *Store) load(digest string, t *vision.Tensor) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	at, kept := s.at[digest]
	s.mu.Unlock()
	if !kept {
		return false
	}
	_, err := s.file.ReadAt(bytesOf(t), at)
	return err == nil
}

// store keeps t, if there is room; a full disk only means that pictures are decoded again.
func (s *Store) store(digest string, t *vision.Tensor) {
	if s == nil {
		return
	}
	size := int64(4 * len(t.Data))
	s.mu.Lock()
	at := s.end
	if _, kept := s.at[digest]; kept || at+size > s.limit {
		s.mu.Unlock()
		return
	}
	s.end += size
	s.mu.Unlock()
	if _, err := s.file.WriteAt(bytesOf(t), at); err != nil {
		return
	}
	s.mu.Lock()
	s.at[digest] = at
	s.mu.Unlock()
}

// bytesOf are the numbers of t as they lie in memory.
func bytesOf(t *vision.Tensor) []byte {
	return memory.Slice((*byte)(memory.Pointer(memory.SliceData(t.Data))), 4*len(t.Data))
}
