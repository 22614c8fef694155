#!/usr/bin/env python3
"""Which pictures to label first: accuracy by the number of labels and the way they are chosen.

    active.py POOL TEST CALIB NETWORK KNOWN

POOL are pictures without labels that show known and new classes alike; what is chosen gets its label, and linear
discriminants are fitted to it and to 50 stored features of each known class of CALIB. Files of `vggse-agent features`;
NETWORK is network.safetensors of train.py. Mean of five halves of the pool.
"""

import sys

import numpy as np
from safetensors.numpy import load_file
from scipy.special import softmax

from peer import read


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def discriminants(x, y, ridge=0.3):
    classes = np.unique(y)
    mean = np.stack([x[y == c].mean(0) for c in classes])
    off = np.concatenate([(x[y == c] - m) / np.sqrt(np.sum(y == c)) for c, m in zip(classes, mean)])
    covariance = off.T @ off / len(classes)
    covariance += ridge * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    w = np.linalg.solve(covariance, mean.T)
    return lambda t: classes[(t @ w - (mean.T * w).sum(0) / 2).argmax(1)]


def farthest(x, centres, n):
    """k-centre: each next one is the farthest from those before it and from the centres."""
    near = np.full(len(x), np.inf)
    for c in centres:
        near = np.minimum(near, ((x - c) ** 2).sum(1))
    out = []
    for _ in range(n):
        i = len(x) // 2 if not len(centres) and not out else near.argmax()
        out.append(i)
        near = np.minimum(near, ((x - x[i]) ** 2).sum(1))
    return np.array(out)


def main(pool, test, calib, network, known):
    known, (looks, y), (t, truth), (c, cy) = int(known), read(pool), read(test), read(calib)
    w = load_file(network)
    x, t, c = unit(looks[:, 0].astype(float)), unit(t[:, 0].astype(float)), unit(c[:, 0].astype(float))
    margin = np.sort(softmax(looks[:, 0] @ w["classifier.6.weight"].T + w["classifier.6.bias"], axis=1), axis=1)
    margin = margin[:, -1] - margin[:, -2]
    stored = np.concatenate([np.flatnonzero(cy == k)[:50] for k in range(known)])
    print("| labels | " + " | ".join(ways := ["random", "uncertain", "representative", "representative, beside stored ones"]) + " |")
    print("|---" * (len(ways) + 1) + "|")
    for n in (10, 20, 50, 100, 200):
        cells = []
        for way in ways:
            got = []
            for draw in range(5):
                half = np.random.default_rng(draw).permutation(len(y))[: len(y) // 2]
                if way == "random":
                    rows = half[:n]
                elif way == "uncertain":
                    rows = half[np.argsort(margin[half])[:n]]
                else:
                    rows = half[farthest(x[half], c[stored] if "stored" in way else [], n)]
                head = discriminants(np.concatenate([x[rows], c[stored]]), np.concatenate([y[rows], cy[stored]]))
                right = head(t) == truth
                got.append([right.mean(), right[truth < known].mean(), right[truth >= known].mean()])
            a, o, f = 100 * np.mean(got, axis=0)
            cells.append(f"{a:.1f} (known {o:.1f}, new {f:.1f})")
        print(f"| {n} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
