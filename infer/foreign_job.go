package infer

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ForeignJob is a model file as it came and what to run it on. It can be handed to another process:
// a file may crash ONNX Runtime.
type ForeignJob struct {
	Library string // path of the ONNX Runtime; "": the one that Config finds
	Threads int
	Path    string // of the model file
	Ports   ForeignPorts
	Inputs  [][]float32 `json:"-"` // one for each run, as Foreign.Run takes them
}

// RunForeign loads the file of a job and runs it on each input. Where a run fails, the answers
// before it are returned beside the error.
func RunForeign(ctx context.Context, c Config, job *ForeignJob) (answers [][]float32, err error) {
	c.Threads = job.Threads
	if job.Library != "" {
		c.Library = job.Library
	}
	f, err := OpenForeign(ctx, c, job.Path, job.Ports)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, numbers := range job.Inputs {
		answer, err := f.Run(ctx, numbers)
		if err != nil {
			return answers, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// headLimit is the most that the head of a job or of its answers may take.
const headLimit = 1 << 20

// numbersHead stands before rows of numbers that go from one process to another.
type numbersHead struct {
	Job   *ForeignJob `json:",omitempty"`
	Error string      `json:",omitempty"`
	Rows  []int       // how many numbers each has
}

// Write writes the job for Read.
func (job *ForeignJob) Write(w io.Writer) error {
	return writeRows(w, numbersHead{Job: job}, job.Inputs)
}

// Read reads what Write has written.
func (job *ForeignJob) Read(r io.Reader) error {
	head := numbersHead{Job: job}
	rows, err := readRows(r, &head)
	job.Inputs = rows
	return err
}

// WriteAnswers writes what RunForeign returns for ReadAnswers.
func WriteAnswers(w io.Writer, answers [][]float32, failed error) error {
	var head numbersHead
	if failed != nil {
		head.Error = failed.Error()
	}
	return writeRows(w, head, answers)
}

// ReadAnswers reads what WriteAnswers has written; size is how much that is at most. The writer is
// not trusted.
func ReadAnswers(r io.Reader, size int64) ([][]float32, error) {
	var head numbersHead
	rows, err := readRows(io.LimitReader(r, size), &head)
	if err == nil && head.Error != "" {
		err = errors.New(head.Error)
	}
	return rows, err
}

func writeRows(w io.Writer, head numbersHead, rows [][]float32) error {
	for _, row := range rows {
		head.Rows = append(head.Rows, len(row))
	}
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	if err := binary.Write(w, binary.LittleEndian, uint32(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	for _, row := range rows {
		if err := binary.Write(w, binary.LittleEndian, row); err != nil {
			return err
		}
	}
	return nil
}

func readRows(r io.Reader, head *numbersHead) (rows [][]float32, err error) {
	var size uint32
	if err := binary.Read(r, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size > headLimit {
		return nil, fmt.Errorf("a head of %d bytes came", size)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, head); err != nil {
		return nil, err
	}
	for _, n := range head.Rows {
		var data bytes.Buffer // grows as numbers come, not as many as were announced
		if got, err := io.CopyN(&data, r, 4*int64(n)); err != nil || n < 0 {
			return rows, fmt.Errorf("%d bytes of %d numbers came: %w", got, n, err)
		}
		row := make([]float32, n)
		if _, err := binary.Decode(data.Bytes(), binary.LittleEndian, row); err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}
