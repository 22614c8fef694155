#!/usr/bin/env python3
"""Which attention pays on your pictures: every kind, the same budget, the same seeds, one table.

    python train/compare.py --train pictures/train --test pictures/test --out compare --input 64 --width 0.25 \\
        --hidden 256 --pool 2 --batch-norm --epochs 12

Every network learns from scratch in one stage with all its parts in place, so that nothing but the attention differs. What is
not said here is an option of train.py. Interrupt it and start the same command again: it goes on where it was. Writes
OUT/KIND-SEED/ as train.py does, results.json, table.md, compare.png and compare.html. With --agent every kind also becomes a bundle
(import, calibrate, bench), and the table says what it costs to run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets import ImageFolder

import train
from attention import ATTENTION
from chart import draw
from data import Pictures
from evaluate import logits_of

KINDS = ["none", *ATTENTION]
T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}  # Student's t, n − 1 degrees


def learn(folder, arguments):
    """One network, from where an interrupted run stopped; does nothing where it is complete."""
    a = train.options([*arguments, "--out", str(folder)])
    if (folder / "metrics.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(a.threads or 1)
    started, pictures, test = time.monotonic(), Pictures(a.train, a.input), Pictures(a.test, a.input)
    sizes = train.sizes_of(a, len(ImageFolder(a.train).classes))
    network, checkpoint = train.restore(a, sizes, a.attention)
    rows = np.arange(0, len(test), 4)  # enough to see when it gets where
    path = folder / "curve.json"
    curve = json.loads(path.read_text()) if path.exists() else {}

    def watch(epoch, network):
        curve[str(epoch)] = round(float((logits_of(network, test, rows).argmax(1) == test.labels[rows]).mean()), 5)
        path.write_text(json.dumps(curve) + "\n")

    if checkpoint["stage"] == 0:
        train.run_stage(network, train.Stage("all", a.all_epochs, a.input, 1e-3, 1e-3, 1e-3, 1e-3), 0, pictures, a, checkpoint, watch)
    if a.batch_norm:
        network = train.without_norms(network, sizes, a.attention)
    train.write(network, test, a, started)


def spread(values):
    """Mean and half of its 95 % interval over the seeds (Student's t)."""
    half = T95.get(len(values), 2) * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "half": half}


def epochs_to(curve, accuracy):
    """Epochs until the held-out accuracy is reached, between two epochs by a straight line; None where it never is."""
    before = (0, 0.0)
    for epoch, value in sorted((int(e), v) for e, v in curve.items()):
        if value >= accuracy:
            return before[0] + (epoch - before[0]) * (accuracy - before[1]) / (value - before[1])
        before = (epoch, value)
    return None


def gathered(out, kinds, seeds, accuracy):
    """What the runs that are complete have reached, by kind."""
    results = {}
    for kind in kinds:
        folders = [f for s in seeds if (f := out / f"{kind}-{s}").joinpath("metrics.json").exists()]
        if not folders:
            continue
        metrics = [json.loads((f / "metrics.json").read_text()) for f in folders]
        curves = [json.loads((f / "curve.json").read_text()) for f in folders]
        reached = [epochs_to(c, accuracy) for c in curves]
        results[kind] = {
            "seeds": len(folders), "images": metrics[0]["images"], "parameters": metrics[0]["parameters"], "curves": curves,
            "top1": spread([m["top1"] for m in metrics]), "top5": spread([m["top5"] for m in metrics]),
            "epochs_to": spread(reached) if None not in reached else None, "reached": sum(r is not None for r in reached),
        }
    return results


def agent(program, *arguments):
    """The last JSON line of one of our verbs; None where a quality gate was missed, so that there is no bundle."""
    done = subprocess.run([program, *map(str, arguments), "--json"], capture_output=True, text=True)
    if done.returncode not in (0, 3):
        sys.exit(f"compare: {program} {arguments[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.returncode == 0 else None


def costs(program, folder, bundle, pictures, size, seconds):
    """One network through import, calibrate and bench; bundles of an earlier run are taken as they are."""
    int8 = bundle.with_name(bundle.name + "-int8")
    if not bundle.exists():
        agent(program, "import", folder / "network.safetensors", "--labels", folder / "labels.txt", "--preprocess", "torchvision",
              "--input", size, "--out", bundle)
    if not int8.exists():
        agent(program, "calibrate", "--bundle", bundle, "--images", pictures, "--out", int8, "--min-agreement", 0)
    summary, report = agent(program, "summary", bundle), json.loads((int8 / "report.json").read_text())
    said = {"macs": summary["macs"], "attention_parameters": summary["se_parameters"],
            "int8_agreement": report["files"][0]["verdict"]["agreement"]["value"]}
    for precision, of in (("fp32", bundle), ("int8", int8)):
        if (of / "model.yaml").exists():  # else INT8 has missed its gate: it was not faster
            b = agent(program, "bench", of, "--precision", precision, "--provider", "cpu", "--threads", 1, "--seconds", seconds)
            said[precision] = {"p50_ms": b["p50_ms"], "rss_mb": b["rss_mb"]}
    return said


def table(results, accuracy):
    """Markdown; ± is half of the 95 % interval over the seeds."""
    def percent(v):
        return f"{100 * v['mean']:.2f} %" + (f" ± {100 * v['half']:.2f}" if v["half"] is not None else "")

    head = f"| attention | top-1 | top-5 | epochs to {100 * accuracy:.0f} % | parameters | multiply-adds | FP32 ms | INT8 ms | INT8 as FP32 | memory |"
    lines = [head, "|" + "---|" * 10]
    for kind, r in results.items():
        to = f"{r['epochs_to']['mean']:.1f}" + (f" ± {r['epochs_to']['half']:.1f}" if r["epochs_to"]["half"] is not None else "") \
            if r["epochs_to"] else f"{r['reached']} of {r['seeds']} runs"
        row = [kind, percent(r["top1"]), percent(r["top5"]), to, f"{r['parameters']:,}"]
        if c := r.get("costs"):
            int8 = f"{c['int8']['p50_ms']:.2f}" if "int8" in c else "not faster"
            row += [f"{c['macs'] / 1e6:.1f} M", f"{c['fp32']['p50_ms']:.2f}", int8, f"{100 * c['int8_agreement']:.1f} %",
                    f"{c['fp32']['rss_mb']:.0f} MB"]
        lines.append("| " + " | ".join([*row, *["–"] * (10 - len(row))]) + " |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--kinds", default=",".join(KINDS), help="kinds of attention with commas between")
    p.add_argument("--seeds", type=int, default=3, help="networks of each kind")
    p.add_argument("--epochs", type=float, default=12)
    p.add_argument("--accuracy", type=float, default=0.8, help="top-1 whose epoch is asked for")
    p.add_argument("--jobs", type=int, default=1, help="networks that learn at the same time, --threads each")
    p.add_argument("--agent", help="bin/vggse-agent, to measure what each kind costs")
    p.add_argument("--calibrate", type=Path, help="pictures for calibrate; default --train")
    p.add_argument("--seconds", type=float, default=3, help="time for each latency")
    a, rest = p.parse_known_args(argv)
    kinds, seeds = a.kinds.split(","), range(1, a.seeds + 1)
    if unknown := set(kinds) - set(KINDS):
        p.error(f"no such kind: {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    of = train.options([*rest, "--out", str(a.out)])
    for folder in (of.train, of.test):
        Pictures(folder, of.input)  # into the cache once, not in every job
    with ProcessPoolExecutor(a.jobs) as pool:
        runs = [pool.submit(learn, a.out / f"{kind}-{seed}", [*rest, "--attention", kind, "--seed", str(seed), "--all-epochs", str(a.epochs)])
                for seed in seeds for kind in kinds]  # a seed of all kinds before the next: what is there can be compared
        for run in runs:
            run.result()
    results = gathered(a.out, kinds, seeds, a.accuracy)
    if a.agent:
        for kind, r in results.items():
            r["costs"] = costs(a.agent, a.out / f"{kind}-1", a.out / f"bundle-{kind}", a.calibrate or of.train, of.input, a.seconds)
    (a.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    text = table(results, a.accuracy)
    (a.out / "table.md").write_text(text)
    draw(results, a.accuracy, text, a.out)
    print(text, end="")


if __name__ == "__main__":
    main()
