package onnx

import (
	"bufio"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxSize is the longest message that protobuf allows, and with it the longest ONNX file without
// external data.
const maxSize = math.MaxInt32

// Write writes the model as one ONNX file, the same bytes for the same model. Weights are copied
// through or produced by their Source one after the other, so a 554 MB model takes a few megabytes
// of heap. External data comes inside, but for what Tensor.Beside says; a model beyond 2 GiB, which
// protobuf cannot hold, is refused before the first byte.
func Write(w io.Writer, m *Model) error {
	msg := encodeModel(m)
	if msg.err != nil {
		return fmt.Errorf("onnx: write: %w", msg.err)
	}
	if msg.size > maxSize {
		return fmt.Errorf("onnx: write: the model takes %d bytes, an ONNX file holds at most %d", msg.size,
			int64(maxSize))
	}
	buf := bufio.NewWriterSize(w, 1<<18)
	if err := msg.writeTo(buf); err != nil {
		return fmt.Errorf("onnx: write: %w", err)
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("onnx: write: %w", err)
	}
	return nil
}

// Size is the number of bytes that Write would write.
func Size(m *Model) int64 { return encodeModel(m).size }

// message is an encoded protobuf message whose long parts are not there yet.
type message struct {
	parts []part
	size  int64
	err   error // of the first tensor that cannot be written
}

// part is either bytes or the content of a tensor with its source.
type part struct {
	b      []byte
	source Source
	size   int64
	name   string
}

// small appends bytes to the last part if that is the message's own.
func (m *message) small(b []byte) {
	m.size += int64(len(b))
	if n := len(m.parts); n > 0 && m.parts[n-1].source == nil && len(m.parts[n-1].b) < 1<<16 {
		last := &m.parts[n-1]
		last.b = append(last.b[:len(last.b):cap(last.b)], b...)
		return
	}
	m.parts = append(m.parts, part{b: append(make([]byte, 0, max(256, len(b))), b...)})
}

func (m *message) number(tag uint64, v int64) {
	m.small(protowire.AppendVarint(protowire.AppendVarint(nil, tag), uint64(v)))
}

// text writes a string field; the empty string is the default and stays away.
func (m *message) text(tag uint64, s string) {
	if s != "" {
		m.always(tag, s)
	}
}

// always writes a string field even when it is empty.
func (m *message) always(tag uint64, s string) {
	m.small(protowire.AppendString(protowire.AppendVarint(nil, tag), s))
}

// sub writes a message field.
func (m *message) sub(tag uint64, s *message) {
	if m.err == nil {
		m.err = s.err
	}
	m.small(protowire.AppendVarint(protowire.AppendVarint(nil, tag), uint64(s.size)))
	for _, p := range s.parts {
		if p.source == nil {
			m.small(p.b)
			continue
		}
		m.parts = append(m.parts, p)
		m.size += p.size
	}
}

// long writes a bytes field whose content comes when the file is written.
func (m *message) long(tag uint64, name string, size int64, source Source) {
	m.small(protowire.AppendVarint(protowire.AppendVarint(nil, tag), uint64(size)))
	m.parts = append(m.parts, part{name: name, size: size, source: source})
	m.size += size
}

// carry writes fields that were read but not understood.
func (m *message) carry(l rest) {
	for _, b := range l {
		if len(b) < 1<<12 {
			m.small(b)
			continue
		}
		m.parts = append(m.parts, part{size: int64(len(b)), source: bytesSource(b)})
		m.size += int64(len(b))
	}
}

func bytesSource(b []byte) Source {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// counter counts what a Source writes and stops it where it writes too much.
type counter struct {
	w         io.Writer
	remaining int64
}

func (c *counter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.remaining {
		return 0, fmt.Errorf("its source writes more than its shape holds")
	}
	n, err := c.w.Write(p)
	c.remaining -= int64(n)
	return n, err
}

func (m *message) writeTo(w io.Writer) error {
	for _, p := range m.parts {
		if p.source == nil {
			if _, err := w.Write(p.b); err != nil {
				return err
			}
			continue
		}
		c := counter{w, p.size}
		if err := p.source(&c); err != nil {
			return fmt.Errorf("tensor %q: %w", p.name, err)
		}
		if c.remaining != 0 {
			return fmt.Errorf("tensor %q: its source ended %d bytes early", p.name, c.remaining)
		}
	}
	return nil
}
