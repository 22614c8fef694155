"""ONNX Runtime's own quantize_static beside int8.cpu.onnx of 'vggse-agent calibrate': one table.

    python bench/peer/quantize_static.py BUNDLE PICTURES [--calibrate 200 --judge 200]

BUNDLE is calibrated. The peers calibrate on some pictures; all are judged on others, by the same code, on
one thread. 'vggse-agent calibrate' has its own pictures: give PICTURES that it has not seen.
Needs onnx, onnxruntime, numpy, Pillow, PyYAML.
"""
import argparse
import collections
import contextlib
import hashlib
import io
import pathlib
import resource
import statistics
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("pictures", type=pathlib.Path)
    parser.add_argument("--calibrate", type=int, default=200)
    parser.add_argument("--judge", type=int, default=200)
    args = parser.parse_args()
    spec = yaml.safe_load((args.bundle / "model.yaml").read_text())
    files = sorted(args.pictures.rglob("*.png"), key=lambda p: hashlib.sha256(p.read_bytes()).digest())
    tensors = [tensor(p, spec) for p in files[: args.calibrate + args.judge]]
    tune, held = tensors[: args.calibrate], tensors[args.calibrate :]
    if not held:
        raise SystemExit("too few pictures: none is left to judge on")
    feed, fp32 = spec["input"]["name"], args.bundle / spec["files"]["fp32"]["path"]
    reference = session(fp32)
    print(f"{len(tune)} pictures to calibrate on, {len(held)} to judge on, one thread, ONNX Runtime {ort.__version__}\n")
    print("| file | agreement | logit SQNR | latency | over FP32 | integer operators | calibration | peak memory so far |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temp:
        folder = pathlib.Path(temp)
        judge("vggse-agent calibrate", args.bundle / spec["files"]["int8.cpu"]["path"], reference, feed, held, folder)
        print(" see its report | – |")
        for method in CalibrationMethod.MinMax, CalibrationMethod.Entropy, CalibrationMethod.Percentile:
            for reduce_range in False, True:
                out = folder / "peer.onnx"
                begin = time.perf_counter()
                with contextlib.redirect_stdout(io.StringIO()):
                    quantize_static(str(fp32), str(out), Reader(feed, tune), quant_format=QuantFormat.QDQ, per_channel=True,
                                    reduce_range=reduce_range, activation_type=QuantType.QUInt8,
                                    weight_type=QuantType.QInt8, calibrate_method=method)
                took = time.perf_counter() - begin
                judge(f"quantize_static {method.name}{', reduce_range' if reduce_range else ''}", out, reference, feed, held, folder)
                print(f" {took:.1f} s | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB |")


if __name__ == "__main__":
    main()
