#!/usr/bin/env python3
"""Which score tells pictures of unknown classes from those of known ones: a table of AUROC.

    unknown.py corrupt TEST OUT KNOWN                      OUT/blur and OUT/noise of the known classes' pictures in TEST
    unknown.py table NETWORK CALIB TEST BLUR NOISE KNOWN   the table, as Markdown

NETWORK is network.safetensors of train.py; the others are files of `vggse-agent features`, of the calibration
pictures, the test pictures and the corrupted ones. Only the known classes of CALIB are looked at. Every score is
larger for what is less known. Those that PyPI's pytorch-ood has, too, are held against it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.special import logsumexp, softmax

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))
from data import load_square, normalise  # noqa: E402
from vgg16se import from_weights  # noqa: E402

EACH = 250  # corrupted pictures of a class


def corrupt(test, out, known):
    for name, change in (("blur", blur), ("noise", noise)):
        for folder in sorted(Path(test).iterdir())[: int(known)]:
            target = Path(out) / name / folder.name
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.iterdir())[:EACH]:
                with Image.open(path) as image:
                    change(image.convert("RGB"), path.name).save(target / f"{path.stem}.png")


def blur(image, _):
    return image.filter(ImageFilter.GaussianBlur(image.height / 45))


def noise(image, name):
    rng = np.random.default_rng(list(name.encode()))
    x = np.asarray(image, np.float32)
    return Image.fromarray((x + rng.normal(0, 30, x.shape)).clip(0, 255).astype(np.uint8))


class Set:
    """Features, classes and what the last layer makes of them."""

    def __init__(self, path, layer, classes):
        with safe_open(path, "np") as f:
            names, self.files = json.loads(f.metadata()["labels"]), json.loads(f.metadata()["files"])
            self.x = f.get_tensor("features").astype(np.float64)
        self.y = np.array([classes.index(n) for n in names])
        self.logits = self.x @ layer[0].T + layer[1]
        self.z = None

    def part(self, rows):
        other = object.__new__(Set)
        other.x, other.y, other.logits = self.x[rows], self.y[rows], self.logits[rows]
        other.files = [self.files[i] for i in np.flatnonzero(rows)]
        other.z = None
        return other

    @torch.inference_mode()
    def squeeze(self, network, size):
        """The squeeze vector of every SE block, N × (all channels)."""
        rows, held = [], []
        hooks = [g.register_forward_pre_hook(lambda m, args: held.append(args[0].mean((2, 3)))) for g in network.gates()]
        m = None
        for i in range(0, len(self.files), 64):
            square = np.stack([load_square(p, size) for p in self.files[i : i + 64]])
            m = (square.shape[1] - size) // 2
            held.clear()
            network(normalise(torch.from_numpy(square[:, m : m + size, m : m + size].copy())))
            rows.append([h.numpy() for h in held])
        for h in hooks:
            h.remove()
        self.z = [np.concatenate([r[k] for r in rows]).astype(np.float64) for k in range(len(rows[0]))]


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def principal(x, k):
    """Mean and the k first principal directions."""
    mean = x.mean(0)
    return mean, np.linalg.svd(x - mean, full_matrices=False)[2][:k]


class Neighbours:
    def __init__(self, reference, k, dims=64, rows=1000):
        self.k, u = k, unit(reference.x)
        self.mean, self.axes = principal(u, dims) if dims else (0, np.eye(u.shape[1]))
        self.known = ((u - self.mean) @ self.axes.T)[:rows]

    def __call__(self, s):
        x = (unit(s.x) - self.mean) @ self.axes.T
        d = (x**2).sum(1)[:, None] + (self.known**2).sum(1) - 2 * x @ self.known.T
        return np.sqrt(np.maximum(np.partition(d, self.k - 1, axis=1)[:, self.k - 1], 0))


class Boundary:
    """fDBD."""

    def __init__(self, reference, layer):
        self.mean, self.layer = reference.x.mean(0), layer
        w = layer[0]
        self.apart = np.linalg.norm(w[:, None] - w[None], axis=2)
        np.fill_diagonal(self.apart, 1)

    def __call__(self, s):
        top = s.logits.argmax(1)
        gap = s.logits.max(1, keepdims=True) - s.logits
        d = (gap / self.apart[top]).sum(1) / (gap.shape[1] - 1)
        return -d / np.maximum(np.linalg.norm(s.x - self.mean, axis=1), 1e-8)


class Mahalanobis:
    """Relative, or plain with background=False; of features as they come, or of unit length."""

    def __init__(self, x, y, background=True, ridge=1e-6):
        self.classes = [x[y == c].mean(0) for c in np.unique(y)]
        off = np.concatenate([x[y == c] - m for c, m in zip(np.unique(y), self.classes)])
        self.inner = np.linalg.inv(off.T @ off + ridge * np.eye(x.shape[1]))
        self.mean = x.mean(0)
        self.outer = np.linalg.inv((x - self.mean).T @ (x - self.mean) + ridge * np.eye(x.shape[1])) if background else None

    def __call__(self, x):
        d = np.min([(((x - m) @ self.inner) * (x - m)).sum(1) for m in self.classes], axis=0)
        return d if self.outer is None else d - (((x - self.mean) @ self.outer) * (x - self.mean)).sum(1)


class Outside:
    """How many channels' means lie beyond those of the reference."""

    def __init__(self, z):
        self.low = [c.min(0) for c in z]
        self.high = [c.max(0) for c in z]

    def __call__(self, z):
        return sum(((c < lo) | (c > hi)).mean(1) for c, lo, hi in zip(z, self.low, self.high))


class Histogram:
    """NAC with equal bins between 0 and 1.25 of the largest value of the reference."""

    def __init__(self, z, bins=30, full=0.02):
        self.bins, self.full, self.most, self.count = bins, full, [1.25 * c.max(0) + 1e-12 for c in z], []
        for c, most in zip(z, self.most):
            at = self.place(c, most)
            self.count.append(np.stack([np.bincount(at[:, k], minlength=bins) for k in range(c.shape[1])]) / len(c))

    def place(self, c, most):
        return np.clip((c / most * self.bins).astype(int), 0, self.bins - 1)

    def __call__(self, z):
        out = 0
        for c, most, count in zip(z, self.most, self.count):
            filled = np.take_along_axis(count.T, self.place(c, most), axis=0)
            out = out - np.minimum(filled / self.full, 1).mean(1)
        return out


def auroc(known, unknown):
    """The chance that an unknown picture's score is above a known one's."""
    both = np.concatenate([known, unknown])
    order = both.argsort(kind="stable")
    rank = np.empty(len(both))
    rank[order] = np.arange(1, len(both) + 1)
    _, group, count = np.unique(both, return_inverse=True, return_counts=True)
    rank = (np.bincount(group, rank) / count)[group]  # ties share their ranks
    return (rank[len(known) :].sum() - len(unknown) * (len(unknown) + 1) / 2) / len(known) / len(unknown)


def scores_of(reference, layer, labels):
    """Name → score of a Set."""
    classes = softmax
    ofz = [np.log(c + 1e-3) for c in reference.z]
    axes = [principal(c, 32) for c in ofz]
    def small(z):
        return [(np.log(c + 1e-3) - m) @ a.T for c, (m, a) in zip(z, axes)]
    stages = [Mahalanobis(c, np.zeros(len(c)), background=False) for c in small(reference.z)]
    relative = Mahalanobis(unit(reference.x), reference.y)
    raw = Mahalanobis(reference.x, reference.y)
    plain = Mahalanobis(unit(reference.x), reference.y, background=False)
    histogram, outside = Histogram(reference.z), Outside(reference.z)
    last = Histogram(reference.z[-1:])
    def gen(s):
        p = np.clip(classes(s.logits, axis=1), 1e-7, 1 - 1e-7)
        return (p**0.1 * (1 - p) ** 0.1).mean(1)
    def entropy(s):
        p = classes(s.logits, axis=1)
        return -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    mean, directions = principal(unit(reference.x), 64)
    def components(s):
        return (unit(s.x) - mean) @ directions.T
    spread = 0.01 * len(reference.y) * components(reference).var(0).mean()
    kept = Mahalanobis(components(reference), reference.y, background=False, ridge=spread)
    one = Mahalanobis(components(reference), np.zeros(len(reference.y)), background=False, ridge=spread)
    out = {
        "softmax (MSP)": lambda s: -classes(s.logits, axis=1).max(1),
        "entropy": entropy,
        "energy": lambda s: -logsumexp(s.logits, axis=1),
        "GEN": gen,
        "fDBD": Boundary(reference, layer),
        "relative Mahalanobis, unit length": lambda s: relative(unit(s.x)),
        "relative Mahalanobis": lambda s: raw(s.x),
        "Mahalanobis, unit length": lambda s: plain(unit(s.x)),
        "**Mahalanobis, unit length, PCA-64** (kept)": lambda s: kept(components(s)),
        "the same, all classes one": lambda s: one(components(s)),
        "the same, and log squeeze, PCA-32, 5 stages": lambda s: one(components(s)) + sum(m(c) for m, c in zip(stages, small(s.z))),
        "coverage of squeeze vectors (NAC)": lambda s: histogram(s.z),
        "coverage of the last squeeze vector": lambda s: last(s.z[-1:]),
        "squeeze values outside the reference's": lambda s: outside(s.z),
        "Mahalanobis of log squeeze, PCA-32, 5 stages": lambda s: sum(m(c) for m, c in zip(stages, small(s.z))),
    }
    for k in (1, 5, 10, 50):
        out[f"kNN, k = {k}, PCA-64, unit length"] = Neighbours(reference, k)
    out["kNN, k = 10, all dimensions"] = Neighbours(reference, 10, dims=0)
    return out


def theirs(reference, layer):
    """The same by pytorch-ood: name → score of features and logits."""
    from pytorch_ood.detector import GEN, KNN, RMD, Entropy, EnergyBased, MaxSoftmax, fDBD

    torch.set_default_dtype(torch.float64)  # what it fits is float32 else, and so is the inverse of a covariance
    x, y = torch.from_numpy(reference.x), torch.from_numpy(reference.y)
    head = torch.nn.Linear(layer[0].shape[1], len(layer[1]))
    head.weight.data, head.bias.data = torch.from_numpy(layer[0]).float(), torch.from_numpy(layer[1]).float()
    fdbd, rmd = fDBD(None, head).fit_features(x), RMD(None).fit_features(x, y)
    units = RMD(None).fit_features(torch.from_numpy(unit(reference.x)), y)
    near = KNN(None, k=10).fit_features(x, y)
    tensor = torch.from_numpy
    return {
        "softmax (MSP)": lambda s: MaxSoftmax.score(tensor(s.logits)),
        "entropy": lambda s: Entropy.score(tensor(s.logits)),
        "energy": lambda s: EnergyBased.score(tensor(s.logits)),
        "GEN": lambda s: GEN.score(tensor(s.logits)),
        "fDBD": lambda s: fdbd.predict_features(tensor(s.x)),
        "relative Mahalanobis": lambda s: rmd.predict_features(tensor(s.x)),
        "relative Mahalanobis, unit length": lambda s: units.predict_features(tensor(unit(s.x))),
        "kNN, k = 10, all dimensions": lambda s: near.predict_features(tensor(s.x)),
    }


def table(network, calib, test, blurred, noisy, known):
    known = int(known)
    weights = load_file(network)
    net = from_weights(weights)
    layer = weights["classifier.6.weight"].double().numpy(), weights["classifier.6.bias"].double().numpy()
    with safe_open(test, "np") as f:
        classes = sorted(set(json.loads(f.metadata()["labels"])))
    reference, tests = Set(calib, layer, classes), Set(test, layer, classes)
    reference = reference.part(reference.y < known)
    sets = {"known": tests.part(tests.y < known)}
    sets |= {classes[c]: tests.part(tests.y == c) for c in range(known, len(classes))}
    sets |= {"blur": Set(blurred, layer, classes), "noise": Set(noisy, layer, classes)}
    for s in [reference, *sets.values()]:
        s.squeeze(net, 64)
    print(f"{len(reference.y)} reference pictures, {len(sets['known'].y)} known, {len(classes) - known} unknown classes of",
          f"{len(sets[classes[-1]].y)}; known ones answered rightly: {100 * (sets['known'].logits.argmax(1) == sets['known'].y).mean():.2f} %\n")
    check = theirs(reference, layer)
    names, apart = [n for n in sets if n != "known"], 0
    print("| score | " + " | ".join(names[:-2]) + " | all unknown | blur | noise | pytorch-ood |")
    print("|---|" + "---|" * (len(names) + 2))
    for name, score in scores_of(reference, layer, classes).items():
        base = score(sets["known"])
        of = [score(sets[n]) for n in names]
        cells = [auroc(base, v) for v in of]
        everything = auroc(base, np.concatenate(of[:-2]))
        other = ""
        if name in check:
            same = lambda s: check[name](s).double().numpy()
            theirs_all = auroc(same(sets["known"]), np.concatenate([same(sets[n]) for n in names[:-2]]))
            apart, other = max(apart, abs(theirs_all - everything)), f"{100 * theirs_all:.2f}"
        cells = cells[:-2] + [everything] + cells[-2:]
        print(f"| {name} | " + " | ".join(f"{100 * c:.2f}" for c in cells) + f" | {other} |", flush=True)
    print(f"\npytorch-ood and these are {apart:.1e} apart at most")
    if apart > 1e-3:
        sys.exit("that is more than 0.001")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"corrupt": corrupt, "table": table}[sys.argv[1]](*sys.argv[2:])
