package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// median of the values; they are sorted in place.
func median(v []float64) float64 { return percentile(v, 50) }

// percentile by nearest rank; v is sorted in place.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[int(float64(len(v)-1)*p/100+0.5)]
}

// ratios of a[i] to b[i].
func ratios(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return r
}

// spread is the median with the range of the values.
func spread(v []float64) string {
	if len(v) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g (%.3g–%.3g)", median(v), v[0], v[len(v)-1])
}

// halfInterval is half of the 95 % interval of the mean.
func halfInterval(v []float64) float64 {
	m, sum := mean(v), 0.0
	for _, x := range v {
		sum += (x - m) * (x - m)
	}
	n := float64(len(v))
	return 1.96 * math.Sqrt(sum/(n-1)/n)
}

// minus is a[i] − b[i].
func minus(a, b []float64) []float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] - b[i]
	}
	return r
}

// largest is the value that is farthest from 0, without its sign.
func largest(v []float64) float64 {
	most := 0.0
	for _, x := range v {
		most = max(most, math.Abs(x))
	}
	return most
}

func constant(x float64, n int) []float64 { return slices.Repeat([]float64{x}, n) }

// processCPU is the CPU time of this process so far, all threads.
func processCPU() time.Duration { return cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID) }

// threadCPU is the CPU time of the calling thread so far.
func threadCPU() time.Duration { return cpuClock(unix.CLOCK_THREAD_CPUTIME_ID) }

func cpuClock(clock int32) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		panic(err) // both clocks are in every Linux since 2.6.12
	}
	return time.Duration(t.Nano())
}

// machine describes where the numbers were taken.
func machine() string {
	cpu := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			cpu = strings.Trim(name, " \t:\n")
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d cores, load average %s at the start, %s, %s", cpu, runtime.NumCPU(), first,
		runtime.Version(),
		time.Now().UTC().Format("2006-01-02 15:04 UTC"))
}
