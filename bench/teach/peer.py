#!/usr/bin/env python3
"""The heads of others on the features that teach fits to.

    peer.py waves                                    scikit-learn's answer to the rows of teach/fit_test.go
    peer.py heads POOL TEST LESSONS OUT KNOWN FIRST  Frigate's recipe and scikit-learn on each lesson

POOL and TEST are files of `vggse-agent features`, POOL with --views; judged by the FIRST pictures of each label of TEST.
LESSONS and OUT are JSON, see bench/teach.go.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression
from torch import nn


def waves():
    """60 rows of 4 numbers in 3 classes."""
    x = np.array([[math.sin(1 + 0.7 * i + 1.3 * j) + (0.4 if i % 3 == j else 0) for j in range(4)] for i in range(60)])
    y = np.arange(60) % 3
    lr = LogisticRegression(C=1 / (60 * 0.01), tol=1e-10, max_iter=10_000).fit(x, y)
    print(lr.coef_.tolist(), lr.intercept_.tolist(), sep="\n")


def read(path):
    """Looks N×V×D and classes, numbered as the labels are sorted."""
    with safe_open(path, "np") as f:
        names = json.loads(f.metadata()["labels"])
        looks = f.get_tensor("views") if "views" in f.keys() else f.get_tensor("features")[:, None]
    place = {n: i for i, n in enumerate(sorted(set(names)))}
    return looks, np.array([place[n] for n in names])


def scores(answers, y, known):
    right = answers == y
    return {"All": 100 * right.mean(), "Old": 100 * right[y < known].mean(), "Fresh": 100 * right[y >= known].mean()}


def frigate(x, y, test, classes, seed):
    """dense 128 ReLU, dropout 0.3, softmax; Adam 0.001, batches of 16, 50 epochs. No picture is set aside, which is
    kinder to it than its own 80/20 split that nobody looks at."""
    torch.manual_seed(seed)
    x, y, test = torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(test)
    net = nn.Sequential(nn.Linear(x.shape[1], 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, classes))
    for layer in (net[0], net[3]):  # as Keras begins
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    adam = torch.optim.Adam(net.parameters(), lr=0.001, eps=1e-7)
    for _ in range(50):
        for rows in torch.randperm(len(x)).split(16):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
    net.eval()
    with torch.inference_mode():
        return net(test).argmax(1).numpy()


def centred(looks, mean):
    x = looks.reshape(-1, looks.shape[-1]).astype(np.float64) - mean
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300)


def scikit(lesson, looks, y, test):
    """LogisticRegression on the rows of teach's regression: answers to test, and how far our coefficients are from its."""
    mean = looks[:, 0].astype(np.float64).mean(axis=0)
    x, each = centred(looks, mean), np.repeat(y, looks.shape[1])
    weight = len(each) / np.bincount(each)[each]
    lr = LogisticRegression(C=1 / (lesson["lambda"] * weight.sum()), tol=1e-9, max_iter=20_000)
    lr.fit(x, each, sample_weight=weight)
    ours = np.array(lesson["weight"]).reshape(lr.coef_.shape) * lesson["temperature"]
    bias = np.array(lesson["bias"]) * lesson["temperature"]
    apart = max(np.abs(ours - lr.coef_).max(), np.abs((bias - bias.mean()) - (lr.intercept_ - lr.intercept_.mean())).max())
    return lr.predict(centred(test[:, None], mean)), float(apart)


def first_of(looks, y, n):
    """The first n pictures of each class."""
    rows = np.sort(np.concatenate([np.flatnonzero(y == c)[:n] for c in np.unique(y)]))
    return looks[rows], y[rows]


def heads(pool, test, lessons, out, known, first):
    (looks, y), (tests, truth) = read(pool), first_of(*read(test), int(first))
    known, tests, classes, said = int(known), np.ascontiguousarray(tests[:, 0]), int(truth.max()) + 1, []
    for seed, lesson in enumerate(json.loads(Path(lessons).read_text())):
        rows = np.array(lesson["rows"])
        x, labels = looks[rows], y[rows]
        answers, apart = scikit(lesson, x, labels, tests) if lesson["mean"] else (np.full(len(truth), -1), 0.0)
        every = x.reshape(-1, x.shape[-1])
        said.append({
            "Frigate": scores(frigate(x[:, 0].copy(), labels, tests, classes, seed), truth, known),
            "FrigateViews": scores(frigate(every, np.repeat(labels, x.shape[1]), tests, classes, seed), truth, known),
            "Scikit": scores(answers, truth, known),
            "Apart": apart,
        })
    Path(out).write_text(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"waves": waves, "heads": heads}[sys.argv[1]](*sys.argv[2:])
