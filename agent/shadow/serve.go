package shadow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/vision"
)

// Classifier is the new model.
type Classifier interface {
	Run(ctx context.Context, t *vision.Tensor, out vision.Logits) error
}

// Prepare is the first thing that a child does: where memory lacks it goes before its parent, and
// the signals of a service are its parent's.
func Prepare() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) // where that may be set
}

// Serve answers to the pictures of the parent until that has enough. spec is the manifest of n.
func Serve(ctx context.Context, n Classifier, spec *bundle.Spec) error {
	if err := serve(ctx, n, spec); err != nil {
		return fmt.Errorf("shadow: %w", err)
	}
	return nil
}

func serve(ctx context.Context, n Classifier, spec *bundle.Spec) error {
	memory, err := mapped(childMemory)
	if err != nil {
		return fmt.Errorf("%w: %s is for the agent itself", err, Verb)
	}
	size := spec.Architecture.InputSize
	prep, err := vision.NewPreprocessor(spec.Preprocess, size)
	if err != nil {
		return err
	}
	s := server{memory: memory, prep: prep, tensor: vision.NewTensor(1, 3, size, size),
		out: make(vision.Logits, len(spec.Labels)), network: n}
	buffer := make([]byte, messageBytes)
	if err := say(&message{status: ready}, buffer); err != nil {
		return err
	}
	for {
		n, _, err := unix.Recvfrom(childSocket, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 { // the parent has gone, or has enough
			return os.NewSyscallError("recvfrom", err)
		}
		var asked message
		if err := asked.take(buffer[:n]); err != nil {
			return err
		}
		if err := say(s.answer(ctx, &asked), buffer); err != nil {
			return err
		}
	}
}

// server is a child at work.
type server struct {
	memory  []byte
	prep    *vision.Preprocessor
	tensor  *vision.Tensor
	out     vision.Logits
	network Classifier
}

// answer classifies the picture in the memory.
func (s *server) answer(ctx context.Context, asked *message) *message {
	f := vision.Frame{Width: int(asked.a), Height: int(asked.b), Stride: 3 * int(asked.a)}
	f.Pix = s.memory[:f.Stride*f.Height]
	if err := s.prep.Apply(&f, s.tensor, 0); err != nil {
		return &message{status: failed, text: err.Error()}
	}
	start := time.Now()
	if err := s.network.Run(ctx, s.tensor, s.out); err != nil {
		return &message{status: failed, text: err.Error()}
	}
	took := time.Since(start)
	for i, v := range s.out {
		binary.LittleEndian.PutUint32(s.memory[pictureBytes+4*i:], math.Float32bits(v))
	}
	return &message{status: answered, a: uint64(took)}
}

func say(m *message, buffer []byte) error {
	return os.NewSyscallError("sendto", unix.Sendto(childSocket, m.put(buffer), unix.MSG_NOSIGNAL, nil))
}
