package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vggse/vggse-agent/bundle"
	"github.com/vggse/vggse-agent/quant"
)

// What is asked of INT8 on networks of others that have learned something, on so many pictures.
const (
	trainedCalibrated = 650
	trainedJudged     = 2600
	trainedLost       = 0.5 // points of top-1
)

// trainedReport imports and calibrates every .onnx file of the folder models, as world/train.py
// makes them, and judges what is lost on pictures of another seed than they learned from.
func (o *options) trainedReport(ctx context.Context, r *report) error {
	files, err := filepath.Glob(filepath.Join(o.models, "*.onnx"))
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no .onnx file in %s: bench/world/train.py makes some", o.models)
	}
	if err != nil {
		return err
	}
	tune, err := o.drawnAt(ctx, "trained-tune", trainedCalibrated, 303, "96x96")
	if err != nil {
		return err
	}
	held, err := o.drawnAt(ctx, "trained-held", trainedJudged, 202, "96x96")
	if err != nil {
		return err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		c, err := o.calibrateTrained(ctx, file, tune, held)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.section(fmt.Sprintf("%s, calibrated on %d pictures, judged on %d of another seed", name,
			c.Pictures.Calibration, c.Pictures.HeldOut))
		for _, f := range c.Files {
			v := f.Verdict
			if v.Top1 == nil {
				return fmt.Errorf("%s: the pictures have no labels", name)
			}
			lost := 100 * (v.Top1FP32.Value - v.Top1.Value)
			r.atMost(f.Path+": top-1 lost, points", lost, trainedLost, fmt.Sprintf("%.3f (%.2f → %.2f %%)", lost,
				100*v.Top1FP32.Value, 100*v.Top1.Value))
			r.fact(f.Path+": answers as FP32, logit SQNR",
				fmt.Sprintf("%.2f %%, %.1f dB", 100*v.Agreement.Value, v.SQNR))
			if f.Key == bundle.FileINT8CPU && f.Proof != nil {
				r.fact(f.Path+": on integers", fmt.Sprintf("%d of %d convolutions, %d of %d fully connected",
					f.Proof.Convolutions, f.Proof.WantConv, f.Proof.Dense, f.Proof.WantDense))
			}
		}
	}
	return nil
}

// calibrateTrained imports a file with the labels beside it and calibrates it.
func (o *options) calibrateTrained(ctx context.Context, file, tune, held string) (*quant.Report, error) {
	dir := filepath.Join(o.scratch, "trained", strings.TrimSuffix(filepath.Base(file), ".onnx"))
	imported := dir + ".imported"
	if err := errors.Join(os.RemoveAll(imported), os.RemoveAll(dir)); err != nil {
		return nil, err
	}
	const how = "resize=squash,filter=pil-bilinear,channels=rgb,scale=1/127.5,mean=1,1,1,std=1,1,1"
	if _, err := o.verb(ctx, "import", file, "--labels", filepath.Join(o.models, "labels.txt"), "--out", imported,
		"--preprocess", how); err != nil {
		return nil, err
	}
	text, err := o.verb(ctx, "calibrate", "--json", "--bundle", imported, "--images", tune, "--eval", held, "--out",
		dir, "--seconds", "0", "--workers", "2")
	if err != nil {
		return nil, err
	}
	c := new(quant.Report)
	return c, json.Unmarshal(text, c)
}
