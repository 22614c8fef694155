#!/usr/bin/env python3
"""What attention is worth where pictures are few: a backbone that knows other classes learns new ones from a handful.

    python train/transfer.py --train pictures/train --test pictures/test --out transfer --input 64 --width 0.25 --hidden 256 --pool 2 --batch-norm

Every second class is new. For each kind and seed a network learns the others (--epochs), gets a new last layer, and
learns the new ones from --few pictures of each, for --steps batches. Interrupt it and start the same command again. Writes results.json
and table.md; options that are not said here are those of train.py.
"""

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from torch import nn

import train
from compare import spread
from data import Pictures
from evaluate import logits_of


def backbone(a, pictures, kind, seed):
    """A network that has learned the known classes, from where an interrupted run stopped."""
    a.out = a.out / f"{kind}-{seed}"
    a.out.mkdir(parents=True, exist_ok=True)
    a.seed = seed
    known = pictures.part(range(1, len(pictures.classes), 2))
    sizes = train.sizes_of(a, len(known.classes))
    network, checkpoint = train.restore(a, sizes, kind)
    if checkpoint["stage"] == 0:
        train.run_stage(network, train.Stage("all", a.all_epochs, a.input, 1e-3, 1e-3, 1e-3, 1e-3), 0, known, a, checkpoint)
    return train.without_norms(network, sizes, kind) if a.batch_norm else network


def learned(a, pictures, test, kind, seed, few, steps):
    """Top-1 on the new classes after learning them from a few pictures each."""
    new, held = (p.part(range(0, len(p.classes), 2), n) for p, n in ((pictures, few), (test, None)))
    network = backbone(a, pictures, kind, seed)
    network.classifier[6] = nn.Linear(network.classifier[6].in_features, len(new.classes)).to(a.device)
    torch.manual_seed(seed)
    nn.init.normal_(network.classifier[6].weight, std=0.01)
    nn.init.zeros_(network.classifier[6].bias)
    a.out, a.batch = a.out / str(few), min(a.batch, len(new))
    a.out.mkdir(exist_ok=True)
    stage = train.Stage("new", steps * a.batch / len(new), a.input, 1e-4, 3e-4, 3e-4, 1e-3)
    train.run_stage(network, stage, 0, new, a, {"stage": 0})
    return float((logits_of(network, held).argmax(1) == held.labels).mean())


def work(arguments, kind, seed, few, steps):
    a = train.options(arguments)
    torch.set_num_threads(a.threads or 1)
    path = a.out / f"{kind}-{seed}" / f"{few}.json"
    if not path.exists():
        top1 = learned(a, Pictures(a.train, a.input), Pictures(a.test, a.input), kind, seed, few, steps)
        path.write_text(json.dumps(top1) + "\n")
    return json.loads(path.read_text())


def table(results, kinds, few):
    """Markdown; ± is half of the 95 % interval over the seeds, of the difference over pairs of one seed."""
    def shown(values, scale=100, sign=""):
        s = spread([scale * v for v in values])
        return f"{s['mean']:{sign}.2f}" + (f" ± {s['half']:.2f}" if s["half"] is not None else "")

    lines = ["| pictures a class | " + " | ".join(f"{k}, top-1 %" for k in kinds) + f" | {kinds[-1]} − {kinds[0]}, points |", "|" + "---|" * (len(kinds) + 2)]
    for n in few:
        first, last = results[kinds[0]][n], results[kinds[-1]][n]
        lines.append(f"| {n} | " + " | ".join(shown(results[k][n]) for k in kinds) + f" | {shown([b - a for a, b in zip(first, last)], sign='+')} |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--kinds", default="none,se")
    p.add_argument("--few", default="10,50,200", help="pictures of each new class")
    p.add_argument("--seeds", type=int, default=3)
    p.add_argument("--epochs", type=float, default=12, help="of the backbone")
    p.add_argument("--steps", type=int, default=200, help="batches of new pictures")
    p.add_argument("--jobs", type=int, default=1, help="networks that learn at the same time")
    a, rest = p.parse_known_args(argv)
    kinds, few = a.kinds.split(","), [int(n) for n in a.few.split(",")]
    arguments = [*rest, "--out", str(a.out), "--all-epochs", str(a.epochs)]
    of = train.options(arguments)
    for folder in (of.train, of.test):
        if len(Pictures(folder, of.input).classes) < 4:
            sys.exit(f"transfer: {folder} wants four classes at least, two of them new")
    with ProcessPoolExecutor(a.jobs) as pool:
        # The first round also makes the backbones, which the others then take up.
        runs = {(k, n, s): pool.submit(work, arguments, k, s, n, a.steps) for k in kinds for s in range(1, a.seeds + 1) for n in few[:1]}
        [r.result() for r in runs.values()]
        runs |= {(k, n, s): pool.submit(work, arguments, k, s, n, a.steps) for s in range(1, a.seeds + 1) for k in kinds for n in few[1:]}
        results = {k: {n: [runs[k, n, s].result() for s in range(1, a.seeds + 1)] for n in few} for k in kinds}
    (a.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = table(results, kinds, few)
    (a.out / "table.md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
