#!/usr/bin/env python3
"""Train a VGG16-SE the article's way (its section 6), on any folder with one sub-folder per class.

    plain    VGG16 without gates, He initialisation, warm-up, all weights
    gates    SE inserted; only the gates and the classifier learn
    late     the last two stages as well, at a smaller rate
    all      everything, smaller still for the early stages

Every stage has its own rates with warm-up and cosine decay; AdamW with weight decay, dropout, label
smoothing, gradient clipping, augmentation. Interrupt it and start the same command again: it goes on
where it was. Writes OUT/network.pth (a plain state_dict), network.safetensors, labels.txt, metrics.json.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.datasets import ImageFolder

from data import Pictures
from evaluate import logits_of, metrics_of
from attention import ATTENTION, kind_of
from vgg16se import VGG16SE, fold_norms, insert_se


@dataclass
class Stage:
    name: str
    epochs: float
    size: int  # of the training crops
    early: float  # learning rates; 0 freezes
    late: float
    gates: float
    head: float


def stages_of(a):
    """The article's order; early stages may use smaller pictures, which the adaptive pool allows."""
    return [
        Stage("plain", a.plain_epochs, a.early_input, 1e-3, 1e-3, 0, 1e-3),
        Stage("gates", a.gate_epochs, a.early_input, 0, 0, 3e-3, 3e-4),
        Stage("late", a.late_epochs, a.input, 0, 6e-4, 1e-3, 3e-4),
        Stage("all", a.all_epochs, a.input, 6e-4, 8e-4, 1e-3, 8e-4),
    ]


def groups_of(network, stage, factor):
    """Parameter groups with their rates; what is frozen gets no gradient at all. A network of another kind learns at the late rate."""
    if not isinstance(network, VGG16SE):
        return [{"params": list(network.parameters()), "lr": stage.late, "peak": stage.late * factor, "weight_decay": 0.02}]
    rates = {}
    for i in range(5):
        for m in network.stage(i):
            rate = stage.early if i < 3 else stage.late
            rates[m] = stage.gates if m in network.gates() else rate
    rates[network.classifier] = stage.head
    groups = []
    for module, rate in rates.items():
        for name, p in module.named_parameters():
            p.requires_grad_(rate > 0)
            if rate > 0:
                decay = 0.02 if name.endswith("weight") else 0
                groups.append({"params": [p], "lr": rate, "peak": rate * factor, "weight_decay": decay})
    return groups


def rate_at(step, steps):
    """Warm-up over a twentieth, then cosine down to 2 %."""
    warm = max(1, steps // 20)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.49 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def rows_at(step, count, batch, seed):
    """The rows of a batch: a new permutation every epoch, the same in every run."""
    per_epoch = count // batch
    order = np.random.default_rng([seed, step // per_epoch]).permutation(count)
    return order[step % per_epoch * batch :][:batch]


def train_mode(network, stage):
    """Training mode, but for the batch norms of frozen stages, which keep what they learned."""
    network.train()
    for i in range(5 if isinstance(network, VGG16SE) else 0):
        if (stage.early if i < 3 else stage.late) == 0:
            for m in network.stage(i):
                m.eval()


def classification(smoothing):
    """Cross entropy with label smoothing, for run_stage."""
    cross_entropy = nn.CrossEntropyLoss(label_smoothing=smoothing)

    def loss(network, x, y):
        out = network(x)
        return cross_entropy(out, y), out

    return loss


def run_stage(network, stage, index, pictures, a, checkpoint, watch=None, loss_of=None):
    """One stage from where checkpoint stands to its end; watch(epoch, network) sees every whole epoch, loss_of(network, x, y)
    gives the loss and the logits of a batch."""
    batch = min(a.batch, len(pictures))
    steps = round(stage.epochs * len(pictures) / batch)
    optimizer = torch.optim.AdamW(groups_of(network, stage, a.rate), betas=(0.9, 0.99))
    loss_of = loss_of or classification(a.smoothing)
    first = 0
    if checkpoint.get("step") and checkpoint["stage"] == index:
        first = checkpoint["step"]
        optimizer.load_state_dict(checkpoint["optimizer"])
    train_mode(network, stage)
    shown = saved = time.monotonic()
    seen, loss_sum, right = 0, 0.0, 0
    for step in range(first, steps):
        for g in optimizer.param_groups:
            g["lr"] = g["peak"] * rate_at(step, steps)
        rows = rows_at(step, len(pictures), batch, a.seed * 10 + index)
        torch.manual_seed(a.seed * 1_000_003 + index * 100_003 + step)  # dropout
        x = pictures.augmented(rows, np.random.default_rng([a.seed, index, step, 1]), a.turns).to(a.device)
        y = torch.from_numpy(pictures.labels[rows]).to(a.device)
        loss, out = loss_of(network, x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        seen, loss_sum, right = seen + len(y), loss_sum + loss.item() * len(y), right + (out.argmax(1) == y).sum().item()
        if watch and (step + 1) % (len(pictures) // batch) == 0:
            watch((step + 1) // (len(pictures) // batch), network)
            train_mode(network, stage)
        now = time.monotonic()
        if now - shown > a.every or step + 1 == steps:
            speed = seen / (now - shown)
            print(f"{stage.name} {stage.size}px {step + 1}/{steps}  loss {loss_sum / seen:.3f}  top-1 {right / seen:.3f}"
                  f"  {speed:.0f} images/s  {(steps - step - 1) * batch / speed / 60:.1f} min left", file=sys.stderr, flush=True)
            shown, seen, loss_sum, right = now, 0, 0.0, 0
        if now - saved > 60:
            save(a, network, index, step + 1, optimizer.state_dict())
            saved = now
    save(a, network, index + 1, 0, None)


def save(a, network, stage, step, optimizer):
    path = a.out / "checkpoint.pt"
    state = {"stage": stage, "step": step, "attention": kind_of(network.state_dict()),
             "weights": network.state_dict(), "optimizer": optimizer}
    torch.save(state, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def write(network, pictures, a, started):
    """The network, its labels and its metrics."""
    weights = {k: v.contiguous().cpu() for k, v in network.state_dict().items()}
    torch.save(weights, a.out / "network.pth")
    save_file(weights, a.out / "network.safetensors")
    (a.out / "labels.txt").write_text("\n".join(pictures.classes) + "\n")
    m = metrics_of(logits_of(network, pictures), pictures.labels, pictures.classes)
    options = {k: v for k, v in vars(a).items() if k not in ("out", "train", "test", "start", "every", "threads", "device", "teacher", "student")}
    m = {"architecture": "vgg16" if a.attention == "none" else "vgg16" + a.attention, "parameters": sum(p.numel() for p in network.parameters()),
         "options": options, "seconds": round(time.monotonic() - started), **m}
    (a.out / "metrics.json").write_text(json.dumps(m, indent=1).replace(",\n   ", ",") + "\n")
    print(f"top-1 {m['top1']:.4f}  top-5 {m['top5']:.4f}  margin below 0.1: {m['margin_below_0.1']:.4f}  → {a.out}")


def options(argv=None, parser=None):
    """The options of a run; a parser with more of them may be given."""
    p = parser or argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--train", type=Path, required=True, help="image folder to learn from")
    p.add_argument("--test", type=Path, required=True, help="image folder held out")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--attention", choices=[*ATTENTION, "none"], default="se", help="none: plain VGG16 with the same budget")
    p.add_argument("--no-se", dest="attention", action="store_const", const="none", help="short for --attention none")
    p.add_argument("--start", type=Path, help="plain.pth or checkpoint.pt of an earlier run: skips the first stage")
    p.add_argument("--input", type=int, default=224)
    p.add_argument("--early-input", type=int, help="picture size of the first two stages; default --input")
    p.add_argument("--width", type=float, default=1.0)
    p.add_argument("--reduction", type=int, default=16)
    p.add_argument("--hidden", type=int, default=4096)
    p.add_argument("--pool", type=int, default=7)
    p.add_argument("--dropout", type=float, default=0.5)
    p.add_argument("--smoothing", type=float, default=0.1)
    p.add_argument("--batch-norm", action="store_true", help="learn with batch norms, folded away at the end: far fewer epochs")
    p.add_argument("--turns", action="store_true", help="augment with quarter turns: pictures have no upright")
    p.add_argument("--plain-epochs", type=float, default=30)
    p.add_argument("--gate-epochs", type=float, default=5)
    p.add_argument("--late-epochs", type=float, default=10)
    p.add_argument("--all-epochs", type=float, default=20)
    p.add_argument("--rate", type=float, default=1, help="factor on all learning rates")
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=0, help="0 leaves it to PyTorch")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--every", type=float, default=5, help="seconds between lines of progress")
    a = p.parse_args(argv)
    a.early_input = a.early_input or a.input
    return a


def restore(a, sizes, attention="none"):
    """The network as the last run, --start or the seed left it, and where to go on; a new one has that attention."""
    checkpoint = {"stage": 0, "attention": attention}
    if (a.out / "checkpoint.pt").exists():
        checkpoint = torch.load(a.out / "checkpoint.pt", map_location=a.device)
    elif a.start:
        weights = torch.load(a.start, map_location=a.device)
        weights = weights.get("weights", weights)
        checkpoint = {"stage": 1, "attention": kind_of(weights), "weights": weights}
    torch.manual_seed(a.seed)
    network = VGG16SE(**sizes, attention=checkpoint["attention"]).to(a.device, memory_format=torch.channels_last)
    if "weights" in checkpoint:
        network.load_state_dict(checkpoint["weights"])
    return network, checkpoint


def gated(plain, sizes, attention):
    """The same network with gates that change nothing yet."""
    network = VGG16SE(**sizes, attention=attention).to(next(plain.parameters()).device, memory_format=torch.channels_last)
    insert_se(plain, network)
    return network


def sizes_of(a, classes):
    return dict(classes=classes, width=a.width, reduction=a.reduction, hidden=a.hidden, pool=a.pool, dropout=a.dropout,
                norm=a.batch_norm)


def without_norms(network, sizes, attention):
    bare = VGG16SE(**{**sizes, "norm": False}, attention=attention).to(next(network.parameters()).device)
    fold_norms(network, bare)
    return bare


def main(argv=None):
    a = options(argv)
    started = time.monotonic()
    if a.threads:
        torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    classes = ImageFolder(a.train).classes
    if ImageFolder(a.test).classes != classes:
        sys.exit(f"train: {a.train} and {a.test} hold different classes: draw or sort them alike")
    sizes = sizes_of(a, len(classes))
    network, checkpoint = restore(a, sizes)
    for index, stage in enumerate(stages_of(a)):
        if index < checkpoint["stage"]:
            continue
        if index == 1 and a.attention != "none" and not network.gates():
            network = gated(network, sizes, a.attention)
        run_stage(network, stage, index, Pictures(a.train, stage.size), a, checkpoint)
        if index == 0:
            torch.save(network.state_dict(), a.out / "plain.pth")
    if a.batch_norm:
        network = without_norms(network, sizes, a.attention)
    write(network, Pictures(a.test, a.input), a, started)


if __name__ == "__main__":
    main()
