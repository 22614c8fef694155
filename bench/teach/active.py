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
from sklearn.cluster import KMeans

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


def centres(x, n):
    """The picture nearest to each centre of n groups (k-means)."""
    groups = KMeans(n, n_init=1, random_state=0).fit(x)
    apart = groups.transform(x)
    return np.array([(rows := np.flatnonzero(groups.labels_ == k))[apart[rows, k].argmin()] for k in range(n)])


def strangeness(reference, classes, dims=64):
    """The squared Mahalanobis distance to the nearest known class, as vision.Known has it."""
    axes = np.linalg.svd(reference - reference.mean(0), full_matrices=False)[2][:dims]
    y = reference @ axes.T
    means = np.stack([y[classes == c].mean(0) for c in np.unique(classes)])
    off = y - means[classes]
    covariance = off.T @ off / len(off)
    covariance += 0.01 * np.trace(covariance) / dims * np.eye(dims)
    white = np.linalg.inv(np.linalg.cholesky(covariance))
    return lambda x: (((x @ axes.T @ white.T)[:, None] - (means @ white.T)[None]) ** 2).sum(2).min(1)


def main(pool, test, calib, network, known):
    known, (looks, y), (t, truth), (c, cy) = int(known), read(pool), read(test), read(calib)
    w = load_file(network)
    x, t, c = unit(looks[:, 0].astype(float)), unit(t[:, 0].astype(float)), unit(c[:, 0].astype(float))
    margin = np.sort(softmax(looks[:, 0] @ w["classifier.6.weight"].T + w["classifier.6.bias"], axis=1), axis=1)
    margin = margin[:, -1] - margin[:, -2]
    stored = np.concatenate([np.flatnonzero(cy == k)[:50] for k in range(known)])
    strange = strangeness(c[stored], cy[stored])
    print("| labels | " + " | ".join(ways := ["random", "uncertain", "k-centre", "k-means", "k-means of the less known half"]) + " |")
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
                elif way == "k-centre":
                    rows = half[farthest(x[half], [], n)]
                else:
                    of = half if way == "k-means" else half[np.argsort(-strange(x[half]))[: len(half) // 2]]
                    rows = of[centres(x[of], n)]
                head = discriminants(np.concatenate([x[rows], c[stored]]), np.concatenate([y[rows], cy[stored]]))
                right = head(t) == truth
                got.append([right.mean(), right[truth < known].mean(), right[truth >= known].mean()])
            a, o, f = 100 * np.mean(got, axis=0)
            cells.append(f"{a:.1f} (known {o:.1f}, new {f:.1f})")
        print(f"| {n} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
