#!/usr/bin/env python3
"""What a network is worth on held-out pictures.

As a program: metrics of a state_dict on an image folder; reference answers for `vggse-agent verify`; and a
comparison with what `vggse-agent classify --json --logits` said about the same files.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data import Pictures
from vgg16se import from_weights


@torch.inference_mode()
def logits_of(network, pictures, rows=None, batch=256):
    """Logits of every picture, or of some rows, N×classes, preprocessed as deployed."""
    network.eval()
    device = next(network.parameters()).device
    rows = np.arange(len(pictures)) if rows is None else rows
    return torch.cat([network(pictures.centre(rows[i : i + batch]).to(device)).cpu() for i in range(0, len(rows), batch)]).numpy()


def metrics_of(logits, labels, classes):
    """Top-1, top-5, confusion (rows are the truth), and how many answers hang by a thread."""
    order = np.argsort(-logits, axis=1)
    best = order[:, 0]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    top2 = np.sort(p, axis=1)[:, -2:]
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (labels, best), 1)
    return {
        "images": len(labels),
        "top1": round(float((best == labels).mean()), 5),
        "top5": round(float((order[:, :5] == labels[:, None]).any(axis=1).mean()), 5),
        "margin_below_0.1": round(float((top2[:, 1] - top2[:, 0] < 0.1).mean()), 5),
        "classes": classes,
        "recall": {c: round(float(confusion[i, i] / max(1, confusion[i].sum())), 4) for i, c in enumerate(classes)},
        "confusion": confusion.tolist(),
    }


def write_golden(network, pictures, per_class, path):
    """A few inputs of each class and the logits that belong to them."""
    rows = np.concatenate([np.flatnonzero(pictures.labels == c)[:per_class] for c in range(len(pictures.classes))])
    inputs = pictures.centre(rows).contiguous()
    with torch.inference_mode():
        logits = torch.cat([network(x[None]) for x in inputs])
    save_file({"input": inputs, "logits": logits}, path)


def compare(answers, logits, pictures):
    """Our logits beside those of `classify --json --logits`, one JSON line a file."""
    row_of = {str(Path(p).resolve()): i for i, p in enumerate(pictures.paths)}
    said = [json.loads(line) for line in open(answers)]
    rows = np.array([row_of[str(Path(a["file"]).resolve())] for a in said])
    theirs, ours, truth = np.array([a["logits"] for a in said]), logits[rows], pictures.labels[rows]
    return {
        "images": len(rows),
        "top1": round(float((theirs.argmax(1) == truth).mean()), 5),
        "top1_here": round(float((ours.argmax(1) == truth).mean()), 5),
        "agreement": round(float((theirs.argmax(1) == ours.argmax(1)).mean()), 5),
        "max_abs_diff": float(np.abs(theirs - ours).max()), "max_abs_logit": float(np.abs(ours).max()),
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("network", help="network.pth as train.py writes it")
    p.add_argument("--test", type=Path, required=True, help="image folder held out")
    p.add_argument("--input", type=int, default=224)
    p.add_argument("--golden", type=Path, help="write inputs and logits, for 'vggse-agent import --golden'")
    p.add_argument("--per-class", type=int, default=1, help="pictures of each class in --golden")
    p.add_argument("--answers", type=Path, help="output of 'vggse-agent classify --json --logits' on --test")
    a = p.parse_args()
    network, pictures = from_weights(torch.load(a.network)), Pictures(a.test, a.input)
    logits = logits_of(network, pictures)
    m = metrics_of(logits, pictures.labels, pictures.classes)
    print(json.dumps({k: v for k, v in m.items() if k not in ("confusion", "classes")}))
    if a.golden:
        write_golden(network, pictures, a.per_class, a.golden)
    if a.answers:
        print(json.dumps(compare(a.answers, logits, pictures)))


if __name__ == "__main__":
    main()
