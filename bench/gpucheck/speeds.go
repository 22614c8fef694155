package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
)

// makeFull makes the full-size network here, from a seed, and calibrates it: an archive could not
// carry it.
func makeFull(ctx context.Context, s *suite) (string, error) {
	if s.short {
		return "", absence("left out: --short")
	}
	plain, full := filepath.Join(s.work, "full-fp32"), filepath.Join(s.work, "full")
	made, err := s.agent.run(ctx, "new", "--out", plain, "--classes", "13")
	if err != nil {
		return "", err
	}
	s.full = plain
	few := filepath.Join(s.work, "few")
	if _, err := s.agent.run(ctx, "demo-data", "--out", few, "--n", "13", "--seed", "11"); err != nil {
		return "", err
	}
	calibrated, err := s.agent.run(ctx, "calibrate", "--bundle", plain, "--images", few, "--out", full,
		"--method", "minmax", "--weights", "8", "--budget", "none", "--min-agreement", "0", "--seconds", "0.2")
	if err != nil {
		return "", fmt.Errorf("FP32 only: %w", err)
	}
	s.full = full
	return fmt.Sprintf("new %.1f s, calibrate on 13 pictures %.1f s", made.took.Seconds(), calibrated.took.Seconds()),
		nil
}

func fullParity(ctx context.Context, s *suite) (string, error) {
	if s.full == "" {
		return "", absence("there is no full-size network")
	}
	return s.parity(ctx, s.full, "cuda")
}

// speeds benches both networks on the providers in every precision, one picture and eight at a
// time. On the CPU eight at a time is no faster, and the full-size network slow: it has one line a
// precision.
func (s *suite) speeds(ctx context.Context, providers ...string) (string, error) {
	var wrong, absent []error
	before := len(s.report.Speeds)
	for _, bundleDir := range []string{s.demo, s.full} {
		for _, provider := range providers {
			if bundleDir == "" {
				continue
			}
			if err := s.absent[provider]; err != nil {
				absent = append(absent, err)
				continue
			}
			wrong = append(wrong, s.bench(ctx, bundleDir, provider))
		}
	}
	n := len(s.report.Speeds) - before
	if err := errors.Join(wrong...); err != nil {
		return "", err
	}
	if n == 0 {
		return "", errors.Join(absent...)
	}
	found := fmt.Sprintf("%d measured, in the table below", n)
	if len(absent) > 0 {
		found += "; " + absent[0].Error()
	}
	return found, nil
}

func (s *suite) bench(ctx context.Context, bundleDir, provider string) error {
	all, err := precisions(bundleDir, provider)
	if err != nil {
		return err
	}
	batches := []int{1, 8}
	if provider == "cpu" {
		batches = batches[:1]
	}
	network := "demo"
	if bundleDir != s.demo {
		network = "full"
	}
	var wrong []error
	for _, precision := range all {
		for _, batch := range batches {
			line := speed{Network: network}
			_, err := s.agent.ask(ctx, &line, "bench", bundleDir, "--provider", provider, "--precision", precision,
				"--batch", strconv.Itoa(batch), "--seconds", map[bool]string{true: "0.3", false: "1"}[s.short])
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s %s on %s, batch %d: %w", network, precision, provider, batch, err))
				continue
			}
			s.report.Speeds = append(s.report.Speeds, line)
		}
	}
	return errors.Join(wrong...)
}
