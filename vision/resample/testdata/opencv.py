"""Writes opencv.json and tensorflow.json beside this file: what OpenCV's and TensorFlow's filters
answer to pictures that opencv_test.go draws from the same formula, at random sizes.

    pip install opencv-python-headless==4.10.0.84 numpy pillow && python opencv.py
    pip install tensorflow-cpu numpy pillow && python opencv.py tensorflow

One row is a filter, the source's width and height, the result's, and either the CRC-32 of the result
in RGB or, where the last bit depends on the processor, the result in base64 (of TensorFlow in
float32).
"""

import base64
import json
import pathlib
import random
import sys
import zlib

import numpy as np
from pillow import draw

HERE = pathlib.Path(__file__).parent


def opencv():
    import cv2

    rows = []
    for name, how, most, exact in (("linear", cv2.INTER_LINEAR, 120, True), ("area", cv2.INTER_AREA, 120, True),
                                   ("cubic", cv2.INTER_CUBIC, 10, False), ("area", cv2.INTER_AREA, 10, False)):
        r = random.Random(f"{name}{exact}")
        while sum(row[0] == name and isinstance(row[5], int) == exact for row in rows) < 1000:
            width, height = r.randint(1, 160), r.randint(1, 160)
            to = (r.randint(1, most), r.randint(1, most))
            if name == "area" and (to[0] > width or to[1] > height) != exact:
                continue
            out = cv2.resize(draw(width, height), to, interpolation=how)
            rows.append([name, width, height, *to,
                         zlib.crc32(out.tobytes()) if exact else base64.b64encode(out.tobytes()).decode()])
    write("opencv.json", f"OpenCV {cv2.__version__}", rows)


def tensorflow():
    import tensorflow as tf

    rows, r = [], random.Random("tf")
    for _ in range(300):
        width, height = r.randint(1, 160), r.randint(1, 160)
        to = (r.randint(1, 10), r.randint(1, 10))
        out = tf.image.resize(draw(width, height), (to[1], to[0])).numpy()
        rows.append(["tf-bilinear", width, height, *to, base64.b64encode(out.tobytes()).decode()])
    write("tensorflow.json", f"TensorFlow {tf.__version__}", rows)


def write(name, made_with, rows):
    text = json.dumps(dict(made_with=made_with, rows=rows), separators=(",", ":"))
    (HERE / name).write_text(text.replace("],[", "],\n[") + "\n")


if __name__ == "__main__":
    tensorflow() if sys.argv[1:] == ["tensorflow"] else opencv()
