package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vggse/vggse-agent/infer"
	"github.com/vggse/vggse-agent/vision"
)

// runAnswers is our side of engines.py's 'serve': DIR PICTURES LIBRARY PROVIDER PRECISION, where
// LIBRARY is for OpenVINO.
func runAnswers(ctx context.Context, args []string) error {
	if len(args) != 5 {
		return fmt.Errorf("answers wants DIR PICTURES LIBRARY PROVIDER PRECISION, got %q", args)
	}
	c := infer.Config{Providers: []string{args[3]}, Threads: 1}
	if args[3] == infer.OpenVINO {
		c.Library = args[2]
	}
	begin := time.Now()
	n, err := infer.OpenBundle(ctx, args[0], args[4], c)
	if err != nil {
		return err
	}
	defer n.Close()
	print := json.NewEncoder(os.Stdout)
	if err := print.Encode(map[string]float64{"load_ms": time.Since(begin).Seconds() * 1e3}); err != nil {
		return err
	}
	feed, err := os.Open(args[1])
	if err != nil {
		return err
	}
	defer feed.Close()
	size := n.Bundle.Spec.Architecture.InputSize
	x, logits := vision.NewTensor(1, 3, size, size), make(vision.Logits, len(n.Bundle.Spec.Labels))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		picture, err := strconv.Atoi(lines.Text())
		if err != nil {
			return err
		}
		if err := readTensor(feed, picture, x.Data); err != nil {
			return err
		}
		begin := time.Now()
		if err := n.Run(ctx, x, logits); err != nil {
			return err
		}
		took := time.Since(begin).Seconds() * 1e3
		if err := print.Encode(map[string]any{"ms": took, "logits": logits}); err != nil {
			return err
		}
	}
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	return print.Encode(map[string]float64{"peak_mb": peak})
}

// peakMemory is the most resident memory of this process, MB; getrusage's would be the parent's
// where that had more before this process was made of it.
func peakMemory() (float64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return 0, fmt.Errorf("/proc/self/status: VmHWM: %w", err)
	}
	return kib / 1024, nil
}

// readTensor reads the i-th tensor of a file of them.
func readTensor(f io.ReaderAt, i int, values []float32) error {
	raw := make([]byte, 4*len(values))
	if _, err := f.ReadAt(raw, int64(i)*int64(len(raw))); err != nil {
		return err
	}
	for j := range values {
		values[j] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
	}
	return nil
}
