#!/usr/bin/env python3
"""Which channels others would keep, layer by layer as many as `vggse-agent prune` does: for `prune --channels`.

    choices.py BUNDLE IMAGES REPORT OUT    OUT/*.json for the widths of REPORT, a report.json of prune

l1                 largest filters (Li et al., arXiv 1608.08710)
taylor             what the loss feels of a channel's activations (Molchanov et al., arXiv 1611.06440); looks at the labels
lasso              LASSO regression of the reader's output on what each channel adds to it (He et al., arXiv 1707.06168)
group-magnitude    torch-pruning's GroupMagnitudeImportance, its default (Fang et al., arXiv 2301.12900)
group-taylor       torch-pruning's GroupTaylorImportance; looks at the labels
random             by lot
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch_pruning as tp
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))
from bundle import network_of  # noqa: E402
from data import load_square, normalise  # noqa: E402

PICTURES, BATCH, COLUMNS = 1024, 64, 4  # COLUMNS: places of a picture that LASSO looks at


def pictures(folder, size):
    """The same number of each label: n × 3 × size × size, and the labels' places in the sorted order."""
    labels = sorted(p.name for p in Path(folder).iterdir() if p.is_dir())
    x, y = [], []
    for c, label in enumerate(labels):
        for path in sorted((Path(folder) / label).iterdir())[: PICTURES // len(labels)]:
            square = load_square(path, size)
            m = (square.shape[0] - size) // 2
            x.append(square[m : m + size, m : m + size])
            y.append(c)
    order = np.random.default_rng(1).permutation(len(x))
    return normalise(torch.from_numpy(np.stack(x)[order])).contiguous(), torch.tensor(y)[order]


def layers_of(network):
    """The convolutions and linear layers of the forward pass with the pairs maker and reader, the gates' left out."""
    named = [(n, m) for n, m in network.named_modules() if n.count(".") == 1 and isinstance(m, (nn.Conv2d, nn.Linear))]
    return [(n, m, r) for (n, m), (_, r) in zip(named, named[1:])]


def l1(network, layers, x, y):
    return {n: m.weight.detach().abs().flatten(1).sum(1) for n, m, _ in layers}


def random(network, layers, x, y):
    g = torch.Generator().manual_seed(1)
    return {n: torch.rand(m.weight.shape[0], generator=g) for n, m, _ in layers}


def taylor(network, layers, x, y):
    score, held = {n: 0 for n, _, _ in layers}, {}
    hooks = [m.register_forward_hook(lambda m, i, o, n=n: (held.__setitem__(n, o), o.retain_grad()) and None) for n, m, _ in layers]
    for i in range(0, len(x), BATCH):
        F.cross_entropy(network(x[i : i + BATCH]), y[i : i + BATCH]).backward()
        for n, a in held.items():  # of what comes out of the ReLU, behind which the gradient is the same or zero
            part = (a.grad * a.detach()).flatten(2).mean(2) if a.dim() > 2 else a.grad * a.detach()
            score[n] = score[n] + part.abs().sum(0)
    for h in hooks:
        h.remove()
    return score


@torch.no_grad()
def lasso(network, layers, x, y):
    seen, score = {}, {}
    for n, m, r in layers:
        hook = r.register_forward_hook(lambda r, i, o, n=n: seen.__setitem__(n, i[0]))
        gram = 0
        g = torch.Generator().manual_seed(1)
        for i in range(0, len(x), BATCH):
            network(x[i : i + BATCH])
            gram = gram + added(r, seen[n], m.weight.shape[0], g)
        hook.remove()
        score[n] = path(gram.double().numpy())
    return score


def added(r, x, channels, g):
    """Sums of products of what the channels add to the outputs of a layer, channels × channels."""
    if x.dim() == 4:
        area = x.shape[2] * x.shape[3]
        at = torch.randint(area, (min(COLUMNS, area),), generator=g)
        x = F.unfold(x, 3, padding=1)[:, :, at].transpose(1, 2).flatten(0, 1)
    x = x.reshape(len(x), channels, -1)
    z = torch.einsum("nct,oct->cno", x, r.weight.reshape(len(r.weight), channels, -1)).flatten(1)
    return z @ z.T


def path(gram):
    """The order in which channels come into the LASSO of their sum as its penalty falls; the first has the highest score."""
    target, beta = gram.sum(1), np.zeros(len(gram))
    score = np.zeros(len(gram))
    for step, alpha in enumerate(target.max() * np.geomspace(1, 1e-4, 200)):
        for _ in range(30):
            for j in range(len(gram)):
                rest = target[j] - gram[j] @ beta + gram[j, j] * beta[j]
                beta[j] = np.sign(rest) * max(0, abs(rest) - alpha) / max(gram[j, j], 1e-12)
        score[(beta != 0) & (score == 0)] = 200 - step
    ties = np.abs(beta) / max(np.abs(beta).max(), 1e-12)  # of those that came in the same step
    return torch.from_numpy(score + 0.5 * ties)


def group(importance):
    def scores(network, layers, x, y):
        graph = tp.DependencyGraph().build_dependency(network, example_inputs=x[:1])
        network.zero_grad()
        for i in range(0, len(x), BATCH):
            F.cross_entropy(network(x[i : i + BATCH]), y[i : i + BATCH]).backward()
        found = {}
        for n, m, _ in layers:
            prune = tp.prune_conv_out_channels if isinstance(m, nn.Conv2d) else tp.prune_linear_out_channels
            found[n] = importance(graph.get_pruning_group(m, prune, idxs=list(range(m.weight.shape[0])))).detach()
        return found

    return scores


def main():
    source, images, report, out = sys.argv[1:]
    network = network_of(source).eval()
    widths = {layer["layer"]: layer["after"] for layer in json.loads(Path(report).read_text())["layers"]}
    size = int(next(line.split(":")[1] for line in (Path(source) / "model.yaml").read_text().splitlines() if "input_size" in line))
    x, y = pictures(images, size)
    layers = layers_of(network)
    Path(out).mkdir(parents=True, exist_ok=True)
    for name, scores in {"l1": l1, "taylor": taylor, "lasso": lasso, "random": random,
                         "group-magnitude": group(tp.importance.GroupMagnitudeImportance()),
                         "group-taylor": group(tp.importance.GroupTaylorImportance())}.items():
        found = scores(network, layers, x, y)
        keep = {n: sorted(found[n].argsort(descending=True)[: widths[n]].tolist()) for n, _, _ in layers}
        (Path(out) / f"{name}.json").write_text(json.dumps(keep) + "\n")


if __name__ == "__main__":
    main()
