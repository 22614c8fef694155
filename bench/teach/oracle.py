#!/usr/bin/env python3
"""What the best last layer can do: fitted to far more pictures than anyone labels.

    oracle.py POOL CALIB TEST NETWORK KNOWN FIRST

Files of `vggse-agent features`; NETWORK is network.safetensors of train.py. A multinomial logistic regression is fitted to POOL,
CALIB and what TEST has behind the FIRST pictures of each label, and judged by those. Of the labels from KNOWN on, the logits are
lowered until so many points of the others' pictures are lost to them; that is chosen on the test pictures themselves.
"""

import sys

import numpy as np
from safetensors.numpy import load_file
from scipy.optimize import minimize

from peer import read


def regression(x, y, classes, strength):
    hot = np.eye(classes)[y]

    def loss(p):
        w, b = p[:-classes].reshape(classes, -1), p[-classes:]
        z = x @ w.T + b
        top = z.max(1, keepdims=True)
        e = np.exp(z - top)
        s = e.sum(1, keepdims=True)
        g = (e / s - hot) / len(y)
        value = (np.log(s[:, 0]) + top[:, 0] - (z * hot).sum(1)).mean() + strength / 2 * (w**2).sum()
        return value, np.concatenate([(g.T @ x + strength * w).ravel(), g.sum(0)])

    best = minimize(loss, np.zeros(classes * x.shape[1] + classes), jac=True, method="L-BFGS-B",
                    options=dict(maxiter=400, gtol=1e-5)).x
    return best[:-classes].reshape(classes, -1), best[-classes:]


def main(pool, calib, test, network, known, first):
    known, first = int(known), int(first)
    sets = [(looks[:, 0].astype(float), y) for looks, y in map(read, (pool, calib, test))]
    (x, y), place = sets[2], np.zeros(len(sets[2][1]), int)
    for c in np.unique(y):
        place[y == c] = np.arange((y == c).sum())
    sets[2] = (x[place >= first], y[place >= first])
    tests, truth = x[place < first], y[place < first]
    x, y = (np.concatenate(part) for part in zip(*sets))
    w = load_file(network)
    old = truth < known
    before = ((tests @ w["classifier.6.weight"].T + w["classifier.6.bias"]).argmax(1) == truth)[old].mean()
    mean = x.mean(0)

    def unit(v):
        return (v - mean) / np.linalg.norm(v - mean, axis=1, keepdims=True)

    print(f"{len(y)} pictures, judged by {len(truth)}; before {100 * before:.2f}")
    for strength in (1e-3, 1e-4, 1e-5, 1e-6):
        w, b = regression(unit(x), y, truth.max() + 1, strength)
        z = unit(tests) @ w.T + b
        for limit in (1, 0.01, 0.005):
            for less in np.arange(0, 20, 0.025):
                right = np.where(np.arange(z.shape[1]) >= known, z - less, z).argmax(1) == truth
                if before - right[old].mean() <= limit:
                    break
            print(f"{strength:g}: {100 * limit:g} points may be lost: {100 * (before - right[old].mean()):.2f} are, "
                  f"new {100 * right[~old].mean():.1f}, all {100 * right.mean():.1f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
