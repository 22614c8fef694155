#!/usr/bin/env python3
"""What the gates cost: two state_dicts of one size, with and without SE, through ONNX Runtime on the CPU.

Runs of the two take turns, so that a busy machine slows both; the ratio is the median of the pairs.
"""

import argparse
import io
import json
import statistics
import time

import numpy as np
import onnxruntime as ort
import torch

from vgg16se import from_weights


def session_of(network, size, threads):
    file = io.BytesIO()
    torch.onnx.export(network, (torch.zeros(1, 3, size, size),), file, dynamo=False, opset_version=17, input_names=["input"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("se", help="network.pth with gates")
    p.add_argument("plain", help="network.pth without")
    p.add_argument("--input", type=int, required=True)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--pairs", type=int, default=400)
    a = p.parse_args()
    networks = [from_weights(torch.load(f)) for f in (a.se, a.plain)]
    counts = [sum(t.numel() for t in n.parameters()) for n in networks]
    sessions = [session_of(n, a.input, a.threads) for n in networks]
    x = {"input": np.random.default_rng(1).standard_normal((1, 3, a.input, a.input), np.float32)}
    times = []
    for _ in range(a.pairs + 20):
        pair = []
        for s in sessions:
            start = time.perf_counter()
            s.run(None, x)
            pair.append((time.perf_counter() - start) * 1e3)
        times.append(pair)
    se, plain = zip(*times[20:])
    print(json.dumps({
        "threads": a.threads, "pairs": a.pairs, "input": a.input,
        "parameters": counts[0], "parameters_plain": counts[1], "parameters_percent": round(100 * (counts[0] / counts[1] - 1), 3),
        "ms": round(statistics.median(se), 3), "ms_plain": round(statistics.median(plain), 3),
        "time_percent": round(100 * (statistics.median(b / c for b, c in zip(se, plain)) - 1), 1),
        "time_percent_best": round(100 * (min(se) / min(plain) - 1), 1),
    }))


if __name__ == "__main__":
    main()
