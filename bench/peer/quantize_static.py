"""ONNX Runtime's own quantize_static beside 'vggse-agent calibrate': one table.

    python bench/peer/quantize_static.py BUNDLE PICTURES [--agent bin/vggse-agent --calibrate 200 --judge 200]

All calibrate on the same pictures, each in a process of its own, and are judged on the same others, by the same code,
on one thread. Needs what requirements.txt says.
"""
import argparse
import collections
import contextlib
import hashlib
import io
import json
import multiprocessing
import os
import pathlib
import resource
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime as ort
import yaml
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from PIL import Image

INTEGER = {"QLinearConv", "QGemm", "QLinearMatMul", "ConvInteger", "MatMulIntegerToFloat"}


def tensor(path, spec):
    """One picture as the manifest says, for the one resize rule that this script knows."""
    p, size = spec["preprocess"], spec["architecture"]["input_size"]
    if (p["resize"], p["filter"], p["channels"]) != ("shortest-crop", "pil-bilinear", "rgb"):
        raise SystemExit("only shortest-crop, pil-bilinear, rgb is known here")
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    image = image.resize([int(p["shorter"] * side / short) for side in image.size], Image.BILINEAR)
    left, top = (round((side - size) / 2) for side in image.size)
    image = image.crop((left, top, left + size, top + size))
    x = (np.asarray(image, np.float64) * p["scale"] - p["mean"]) / p["std"]
    return x.transpose(2, 0, 1)[None].astype(np.float32)


class Reader(CalibrationDataReader):
    def __init__(self, name, tensors):
        self.feed = iter([{name: t} for t in tensors])

    def get_next(self):
        return next(self.feed, None)


def session(path, optimized=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def judge(name, path, reference, feed, pictures, folder):
    optimized = folder / "optimized.onnx"
    own = session(path, optimized)
    fused = collections.Counter(n.op_type for n in onnx.load(optimized).graph.node)
    signal = noise = same = 0
    took = [[], []]
    for x in pictures:
        out = []
        for s, times in zip((reference, own), took):
            begin = time.perf_counter()
            out.append(s.run(None, {feed: x})[0].astype(np.float64))
            times.append(time.perf_counter() - begin)
        signal += (out[0] ** 2).sum()
        noise += ((out[0] - out[1]) ** 2).sum()
        same += out[0].argmax() == out[1].argmax()
    fp32, here = (statistics.median(t) * 1e3 for t in took)
    print(f"| {name} | {100 * same / len(pictures):.2f} % | {10 * np.log10(signal / max(noise, 1e-30)):.1f} dB | {here:.2f} ms "
          f"| {fp32 / here:.2f}× | {sum(fused[o] for o in INTEGER)} |", end="", flush=True)


def quantize(fp32, out, feed, tensors, method, reduce_range):
    """Runs in a process of its own, so that its memory can be told; returns seconds and MB."""
    begin = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(str(fp32), str(out), Reader(feed, tensors), quant_format=QuantFormat.QDQ, per_channel=True,
                        reduce_range=reduce_range, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        calibrate_method=CalibrationMethod[method])
    return time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def calibrate(agent, bundle, tune, held, folder, extra):
    """Runs the agent on the same pictures; returns the file, seconds and MB."""
    for name, files in ("tune", tune), ("held", held):
        (folder / name).mkdir(exist_ok=True)
        for i, path in enumerate(files):
            if not (folder / name / f"{i}.png").exists():
                (folder / name / f"{i}.png").symlink_to(path.resolve())
    out = folder / ("calibrated" + "".join(extra))
    begin = time.perf_counter()
    child = subprocess.Popen([agent, "calibrate", "--json", "--bundle", bundle, "--images", folder / "tune", "--eval", folder / "held", "--out", out,
                              "--min-agreement", "0", "--budget", "none", "--seconds", "0", *extra], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    text = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - begin
    if not (out / "int8.cpu.onnx").exists():
        raise SystemExit(f"calibrate made no file: {json.loads(text)['gate']}")
    return out / "int8.cpu.onnx", took, usage.ru_maxrss * 1024 / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--agent", default="bin/vggse-agent")
    parser.add_argument("--calibrate", type=int, default=200)
    parser.add_argument("--judge", type=int, default=200)
    args = parser.parse_args()
    spec = yaml.safe_load((args.bundle / "model.yaml").read_text())
    files = sorted(args.pictures.rglob("*.png"), key=lambda p: hashlib.sha256(p.read_bytes()).digest())
    files = files[: args.calibrate + args.judge]
    tensors = [tensor(p, spec) for p in files]
    tune, held = tensors[: args.calibrate], tensors[args.calibrate :]
    if not held:
        raise SystemExit("too few pictures: none is left to judge on")
    feed, fp32 = spec["input"]["name"], args.bundle / spec["files"]["fp32"]["path"]
    reference = session(fp32)
    print(f"{len(tune)} pictures to calibrate on, {len(held)} to judge on, one thread, ONNX Runtime {ort.__version__}\n")
    print("| file | agreement | logit SQNR | latency | over FP32 | integer operators | time | peak memory |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        for name, extra in ("auto", []), ("minmax", ["--method", "minmax"]):
            path, took, peak = calibrate(args.agent, args.bundle, files[: args.calibrate], files[args.calibrate :], folder, extra)
            judge(f"vggse-agent calibrate {name}", path, reference, feed, held, folder)
            print(f" {took:.1f} s for four files, judged | {peak:.0f} MB |", flush=True)
        context = multiprocessing.get_context("spawn")
        for method in "MinMax", "Entropy", "Percentile":
            for reduce_range in False, True:
                out = folder / "peer.onnx"
                with context.Pool(1) as pool:
                    took, peak = pool.apply(quantize, (fp32, out, feed, tune, method, reduce_range))
                judge(f"quantize_static {method}{', reduce_range' if reduce_range else ''}", out, reference, feed, held, folder)
                print(f" {took:.1f} s | {peak:.0f} MB |", flush=True)


if __name__ == "__main__":
    main()
