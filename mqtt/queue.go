package mqtt

// queueSlots is how many records wait in memory. At most publish.max_rate of them come a second and
// camera: with one camera at five a second they last for thirteen minutes of outage.
const queueSlots = 4096

// record is a result or an event on its way: its place in the stream, its topic, and its payload but
// for the end, which tells a late delivery (see finish).
type record struct {
	seq     uint64
	topic   string
	qos     byte
	payload []byte
	late    bool // was accepted, or sent before, in another connection
	lost    loss // what a queue_dropped record tells of, should it be dropped itself
}

// loss counts records that were dropped, all of them between from and to.
type loss struct {
	count    uint64
	from, to uint64
}

func (l *loss) add(m loss) {
	if m.count == 0 {
		return
	}
	if l.count == 0 || m.from < l.from {
		l.from = m.from
	}
	l.to = max(l.to, m.to)
	l.count += m.count
}

// queue is a ring of records in the order of their seq. Positions count for ever:
//
//	head ≤ sent ≤ tail: [head, sent) is with the broker, [sent, tail) waits
//
// Memory grows up to queueSlots records and is used again; it is not safe for concurrent use.
type queue struct {
	slots            []record
	head, sent, tail uint64
	lost             loss // dropped and not yet told
}

func newQueue(slots int) queue { return queue{slots: make([]record, slots)} }

// push gives the next free record, for the caller to fill; its payload is empty but has its memory.
// Where the queue is full, the oldest one makes room and is counted as lost.
func (q *queue) push(seq uint64) *record {
	if q.full() {
		oldest := q.at(q.head)
		q.lost.add(oldest.lost)
		q.lost.add(loss{1, oldest.seq, oldest.seq})
		q.head++
		q.sent = max(q.sent, q.head)
	}
	r := q.at(q.tail)
	q.tail++
	*r = record{seq: seq, payload: r.payload[:0]}
	return r
}

// next is the oldest record that was not sent, and its position; nil where there is none.
func (q *queue) next() (*record, uint64) {
	if q.sent == q.tail {
		return nil, 0
	}
	q.sent++
	return q.at(q.sent - 1), q.sent - 1
}

// acked forgets the record at pos and all before it.
func (q *queue) acked(pos uint64) { q.head = max(q.head, pos+1) }

// rewind makes all that is not acknowledged wait again.
func (q *queue) rewind() {
	q.sent = q.head
	for pos := q.head; pos < q.tail; pos++ {
		q.at(pos).late = true
	}
}

func (q *queue) at(pos uint64) *record { return &q.slots[pos%uint64(len(q.slots))] }
func (q *queue) full() bool            { return q.tail-q.head == uint64(len(q.slots)) }
func (q *queue) waiting() int          { return int(q.tail - q.head) }
