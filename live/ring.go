package live

// ring holds the newest values, oldest first.
type ring[T any] struct {
	values []T
	next   int // where the next one goes
	n      int // how many there are
}

func newRing[T any](size int) ring[T] { return ring[T]{values: make([]T, size)} }

// add takes a value in; in a full ring it takes the place of the oldest.
func (r *ring[T]) add(v T) {
	r.values[r.next] = v
	r.next = (r.next + 1) % len(r.values)
	r.n = min(r.n+1, len(r.values))
}

// all are copies of the values, appended to dst, oldest first.
func (r *ring[T]) all(dst []T) []T {
	first := r.next - r.n
	if first < 0 {
		dst = append(dst, r.values[first+len(r.values):]...)
		first = 0
	}
	return append(dst, r.values[first:r.next]...)
}

// newest are copies of the last n values, oldest first, or of as many as there are.
func (r *ring[T]) newest(n uint64) (some []T) {
	for i := int(min(n, uint64(r.n))); i > 0; i-- {
		some = append(some, r.values[(r.next+len(r.values)-i)%len(r.values)])
	}
	return some
}

// last is the one before the next; nil in an empty ring.
func (r *ring[T]) last() *T {
	if r.n == 0 {
		return nil
	}
	return &r.values[(r.next+len(r.values)-1)%len(r.values)]
}

// clear forgets all.
func (r *ring[T]) clear() { r.next, r.n = 0, 0 }
