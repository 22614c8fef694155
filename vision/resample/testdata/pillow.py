"""Writes pillow.json beside this file: what Pillow's filters answer to pictures that pillow_test.go
draws from the same formula, at random sizes, as the CRC-32 of the result in RGB.

    pip install pillow==11.3.0 numpy && python pillow.py

One row is a filter, the source's width and height, the result's, and the CRC.
"""

import json
import pathlib
import random
import zlib

import numpy as np
import PIL
from PIL import Image

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SIZES = 1000  # of each filter


def draw(width: int, height: int) -> np.ndarray:
    """Noise with hard edges, by integers only: overshoots everywhere."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    h = ((y * width + x) * 3 + c).astype(np.uint32) * np.uint32(2654435761)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    noise = (h >> np.uint32(24)).astype(np.int64)
    return np.where((x // 7 + y // 5) % 2 == 0, noise, 255 * ((x + c) % 2)).astype(np.uint8)


def main():
    rows = []
    for name, how in FILTERS.items():
        r = random.Random(name)
        for _ in range(SIZES):
            width, height = r.randint(1, 160), r.randint(1, 160)
            to = (r.randint(1, 120), r.randint(1, 120))
            out = np.asarray(Image.fromarray(draw(width, height)).resize(to, how))
            rows.append([name, width, height, *to, zlib.crc32(out.tobytes())])
    text = json.dumps(dict(made_with=f"Pillow {PIL.__version__}", rows=rows), separators=(",", ":"))
    pathlib.Path(__file__).with_suffix(".json").write_text(text.replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    main()
