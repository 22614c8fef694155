"""Times ours against Pillow, OpenCV and the Python peer on one core, and writes the medians of
interleaved pairs to bench/results/resize.md.

    pip install -r bench/peer/requirements.txt pillow && python bench/resize/compare.py
"""

import argparse
import datetime
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
import PIL
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "bench/peer"))
import peer  # noqa: E402

WIDTH, HEIGHT = 1280, 720
SCALED = {96: (195, 110), 224: (455, 256)}  # input size: what torchvision resizes to before its crop
CLASSES = {96: 9, 224: 1000}
NOTES = """Ours is resize, centre crop, channel order and normalisation, to the float tensor; Pillow's and OpenCV's
is the resize alone, of the whole frame. The last two rows are all that the agent and `bench/peer/peer.py` do
to a frame but for the network and the message: the above, softmax, the best five; ours with smoothing and
confirmation besides.
"""


def milliseconds(call, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times * 1e3


def ours(binary: str, bench: str, times: int) -> float:
    pattern = "/".join(f"^{part}$" for part in bench.split("/"))
    out = subprocess.run(
        [binary, "-test.run", "^$", "-test.cpu", "1", "-test.benchtime", f"{times}x", "-test.bench", pattern],
        check=True, capture_output=True, text=True, cwd=ROOT / "vision").stdout
    return float(re.search(r"([\d.]+) ns/op", out)[1]) / 1e6


def script(picture: np.ndarray, size: int):
    """What the peer does to a frame outside its run."""
    spec = {"architecture": {"input_size": size}, "preprocess": {
        "resize": "shortest-crop", "shorter": SCALED[size][1], "channels": "rgb", "scale": 1 / 255,
        "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}
    logits = np.random.default_rng(2).normal(0, 5, CLASSES[size]).astype(np.float32)

    def call():
        peer.preprocess(picture, spec)
        return np.argsort(peer.softmax(logits))[::-1][:5]
    return call


def cases():
    """Yields what is compared, our benchmark, and the peer's call."""
    picture = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = Image.fromarray(picture)
    for size, to in SCALED.items():
        yield (f"{size}×{size}, pil-bilinear | Pillow BILINEAR to {to[0]}×{to[1]}", f"BenchmarkPreprocess/pil-bilinear/{size}",
               lambda to=to: image.resize(to, Image.Resampling.BILINEAR))
        yield (f"{size}×{size}, area | OpenCV INTER_AREA to {to[0]}×{to[1]}", f"BenchmarkPreprocess/area/{size}",
               lambda to=to: cv2.resize(picture, to, interpolation=cv2.INTER_AREA))
    for size in SCALED:
        yield (f"{size}×{size}, {CLASSES[size]} classes, outside the run | the Python peer", f"BenchmarkOutsideRun/{size}",
               script(picture, size))


def table(binary: str, pairs: int) -> str:
    lines = [f"| {WIDTH}×{HEIGHT} to | peer | peer, ms | ours, ms | ours / peer: median | lowest – highest |",
             "|---|---|---|---|---|---|"]
    for name, bench, call in cases():
        milliseconds(call, 5)
        rows = [(milliseconds(call, 50), ours(binary, bench, 300)) for _ in range(pairs)]
        ratio = sorted(our / theirs for theirs, our in rows)
        theirs, our = (statistics.median(column) for column in zip(*rows))
        lines.append(f"| {name} | {theirs:.2f} | {our:.3f} | **{statistics.median(ratio):.3f}** "
                     f"| {ratio[0]:.3f} – {ratio[-1]:.3f} |")
    return "\n".join(lines)


def machine() -> str:
    info = pathlib.Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*:\s*(.+)", info)
    widest = next((f for f in ("avx2", "sse2", "asimd") if re.search(rf"\b{f}\b", info)), "no vectors")
    return f"{name[1] if name else os.uname().machine}, {os.cpu_count()} cores, {widest}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench/results/resize.md")
    args = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the Go side inherits it
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        binary = f"{folder}/vision.test"
        subprocess.run(["go", "test", "-c", "-o", binary, "./vision"], check=True, cwd=ROOT)
        text, load = table(binary, args.pairs), os.getloadavg()[0]
    go = subprocess.run(["go", "env", "GOVERSION"], check=True, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        f"# A frame outside the network, one core\n\n"
        f"Made by `python bench/resize/compare.py`, {datetime.date.today()}, on {machine()}; "
        f"{go}, Pillow {PIL.__version__}, OpenCV {cv2.__version__}; medians of {args.pairs} interleaved pairs, "
        f"load average {load:.1f}.\n\n{text}\n\n{NOTES}")
    print(args.out.read_text())


if __name__ == "__main__":
    main()
