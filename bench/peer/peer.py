#!/usr/bin/env python3
"""The same job as vggse-agent, as most people would write it: OpenCV, ONNX Runtime, paho-mqtt.

    python peer.py BUNDLE VIDEO --broker HOST:PORT [--threads N] [--ring N]

It classifies every frame of VIDEO and publishes a JSON result for each. At the end it prints one JSON
line of what it measured of itself. --ring decodes that many frames first and then classifies them
over and over for --frames frames, so that no decoder is measured.
"""
import argparse
import json
import pathlib
import time

import cv2
import numpy as np
import onnxruntime as ort
import paho.mqtt.client as mqtt
import yaml


def preprocess(frame, spec):
    """BGR picture of any size to a 1×3×S×S float32 tensor, as model.yaml asks."""
    p, size = spec["preprocess"], spec["architecture"]["input_size"]
    if p["resize"] == "shortest-crop":
        height, width = frame.shape[:2]
        scale = p["shorter"] / min(height, width)
        frame = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
        top, left = (frame.shape[0] - size) // 2, (frame.shape[1] - size) // 2
        frame = frame[top:top + size, left:left + size]
    elif p["resize"] == "squash":
        frame = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    else:
        raise SystemExit(f"peer: resize mode {p['resize']} is not known here")
    if p["channels"] == "rgb":
        frame = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    x = frame.astype(np.float32) * np.float32(p["scale"])
    x = (x - np.array(p["mean"], np.float32)) / np.array(p["std"], np.float32)
    return np.ascontiguousarray(x.transpose(2, 0, 1)[None])


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def frames(video, ring, count):
    """Yields the frames of a video; or, with a ring, its first frames again and again."""
    capture = cv2.VideoCapture(str(video))
    if not capture.isOpened():
        raise SystemExit(f"peer: cannot open {video}")
    kept = []
    while True:
        ok, frame = capture.read()
        if not ok or (ring and len(kept) == ring):
            break
        if ring:
            kept.append(frame)
        else:
            yield frame
    for i in range(count if ring else 0):
        yield kept[i % len(kept)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=pathlib.Path)
    parser.add_argument("video", type=pathlib.Path)
    parser.add_argument("--broker", default="127.0.0.1:1883")
    parser.add_argument("--topic", default="peer/result")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--ring", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    args = parser.parse_args()

    spec = yaml.safe_load((args.bundle / "model.yaml").read_text())
    options = ort.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = ort.InferenceSession(args.bundle / spec["files"]["fp32"]["path"], options, providers=["CPUExecutionProvider"])
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    host, port = args.broker.rsplit(":", 1)
    client.connect(host, int(port))
    client.loop_start()

    count, in_run, first = 0, 0.0, None
    for frame in frames(args.video, args.ring, args.frames):
        if first is None:
            first, cpu = time.perf_counter(), time.process_time()
        x = preprocess(frame, spec)
        begin = time.process_time()
        logits = session.run([spec["output"]["name"]], {spec["input"]["name"]: x})[0][0]
        in_run += time.process_time() - begin
        scores = softmax(logits)
        top = np.argsort(scores)[::-1][:5]
        client.publish(args.topic, json.dumps({
            "seq": count, "time": time.time(),
            "top": [{"label": spec["labels"][i], "score": float(scores[i])} for i in top],
        }))
        count += 1
    seconds, cpu = time.perf_counter() - first, time.process_time() - cpu
    client.disconnect()
    client.loop_stop()
    print(json.dumps({"frames": count, "seconds": seconds, "cpu_s": cpu, "cpu_in_run_s": in_run}))


if __name__ == "__main__":
    main()
