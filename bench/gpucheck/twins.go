package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// twins: two models of one shape give their own answers, also where the second takes the first
// one's folder: an engine, or anything else that is kept, must never be the other's.
func twins(ctx context.Context, s *suite) (string, error) {
	provider := s.best()
	if s.absent["tensorrt"] == nil {
		provider = "tensorrt"
	}
	folder := filepath.Join(s.work, "twin")
	var own []answers
	for _, seed := range []string{"1", "2"} {
		bundleDir := filepath.Join(s.work, "twin-"+seed)
		_, err := s.agent.run(ctx, "new", "--out", bundleDir, "--seed", seed, "--width", "0.25", "--input", "96",
			"--hidden", "256", "--pool", "3", "--classes", "13")
		if err != nil {
			return "", err
		}
		if err := os.Rename(bundleDir, folder); err != nil {
			return "", err
		}
		got, err := s.agent.classify(ctx, folder, provider, "fp32", s.pictures)
		if err != nil {
			return "", err
		}
		want, err := s.agent.classify(ctx, folder, "cpu", "fp32", s.pictures)
		if err != nil {
			return "", err
		}
		d, err := apart(want, got)
		if err != nil || d.worst > tolerances["fp32"] {
			return "", fmt.Errorf("the one of seed %s is %v off from its own answers on the cpu (%w)", seed, d, err)
		}
		own = append(own, got)
		if err := os.Rename(folder, bundleDir); err != nil {
			return "", err
		}
	}
	d, err := apart(own[0], own[1])
	if err != nil {
		return "", err
	}
	if d.worst < 0.05 {
		return "", fmt.Errorf("both give the same answers (%v apart)", d)
	}
	return fmt.Sprintf("on %s each gives its own answers from the same folder; they are %.2g of the largest "+
		"logit apart", provider, d.worst), nil
}
