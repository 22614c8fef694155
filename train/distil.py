#!/usr/bin/env python3
"""Let a small network learn from a large one, on pictures that need no labels that the large one would not give.

    python train/distil.py --teacher demo/bundle --student small --train pictures/train --test pictures/test --out distilled --input 64

The teacher is any bundle of ours, or a checkpoint. The student is a bundle that `vggse-agent prune` made, a checkpoint, a
narrower network of the teacher's kind (--width) or a MobileNetV3 (--mobile, which leaves network.onnx to import). It learns from the
teacher's answers, softened by a temperature (Hinton et al. 2015, arXiv 1503.02531, section 2), from the labels, and, where both
are of our family, from where the teacher's stages look (Zagoruyko and Komodakis 2017, arXiv 1612.03928, equation 2), which
asks for no equal widths. --batch-norm puts batch norms behind the convolutions for the time, and folds them away.

With --int8 the student learns what rounding to 8 bits does to it: give --student the network of an earlier run, and a small --rate.
scales.json keeps the ranges it has learned along; `vggse-agent calibrate` finds its own. What is not said here is an option
of train.py; interrupt it and start the same command again.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v3_small

import train
from bundle import network_of, weights_of
from data import Pictures
from evaluate import logits_of
from quantized import Quantized
from vgg16se import VGG16SE, fold_norms, from_weights, insert_norms, sizes_of


def options(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--teacher", required=True, help="bundle or checkpoint")
    p.add_argument("--student", help="bundle or checkpoint; without, --width or --mobile says what to begin with")
    p.add_argument("--mobile", action="store_true", help="a MobileNetV3-small from scratch")
    p.add_argument("--epochs", type=float, default=12)
    p.add_argument("--temperature", type=float, default=4)
    p.add_argument("--soft", type=float, default=0.7, help="weight of the teacher's answers; the rest is for the labels")
    p.add_argument("--features", type=float, default=1, help="weight of where the stages look; 0 for none")
    p.add_argument("--int8", action="store_true", help="learn with 8-bit rounding, and write scales.json")
    a = train.options(argv, p)
    if a.int8 and (a.batch_norm or a.mobile or not a.student):
        p.error("--int8 wants --student, a network of our family without batch norms: distil it first")
    return a


def student_of(a, teacher, classes, pictures):
    """The network that learns, as it begins."""
    torch.manual_seed(a.seed)
    if a.mobile:
        return mobilenet_v3_small(num_classes=classes)
    weights = weights_of(a.student) if a.student else {}
    if a.student and not weights:
        sys.exit(f"distil: {a.student} is no network of our family: what is learned here could not be written back into it")
    kind = sizes_of(teacher.state_dict())["attention"] if isinstance(teacher, VGG16SE) else "se"
    sizes = sizes_of(weights) if weights else train.sizes_of(a, classes) | {"attention": kind}
    sizes |= {"dropout": a.dropout, "norm": a.batch_norm}
    network = VGG16SE(**sizes)
    if weights and a.batch_norm:
        insert_norms(from_weights(weights), network, pictures.centre(np.arange(0, len(pictures), max(1, len(pictures) // 256))))
    elif weights:
        network.load_state_dict(weights)
    return network


class Looks:
    """Where the stages of a network look: the sum of squares over channels, of length 1 for each picture."""

    def __init__(self, network):
        self.maps = None  # outside of a loss nothing is kept
        for _, end in network.stages:
            network.features[end - 2].register_forward_hook(self.see)  # before the max-pool

    def see(self, module, args, out):
        if self.maps is not None:
            self.maps.append(F.normalize(out.square().mean(1).flatten(1)))

    def taken(self):
        maps, self.maps = self.maps, None
        return maps


def distillation(teacher, student, a):
    """The loss of a batch, for train.run_stage."""
    ours = isinstance(teacher, VGG16SE) and isinstance(student, VGG16SE) and a.features > 0
    looks = [Looks(teacher), Looks(student)] if ours else []
    t = a.temperature

    def loss_of(network, x, y):
        for look in looks:
            look.maps = []
        with torch.no_grad():
            wanted = teacher(x)
        out = network(x)
        soft = F.kl_div(F.log_softmax(out / t, 1), F.log_softmax(wanted / t, 1), log_target=True, reduction="batchmean") * t * t
        loss = a.soft * soft + (1 - a.soft) * F.cross_entropy(out, y, label_smoothing=a.smoothing)
        if looks:
            pairs = zip(*(look.taken() for look in looks))
            loss = loss + a.features * sum((mine - theirs).square().sum(1).mean() for theirs, mine in pairs)
        return loss, out

    return loss_of


def lost(teacher, student, labels):
    """Points of top-1 that the student is below its teacher on the same pictures, and half of the 95 % interval (normal, paired)."""
    difference = (teacher.argmax(1) == labels).astype(float) - (student.argmax(1) == labels)
    return {"points": round(100 * difference.mean(), 3), "half": round(196 * difference.std() / len(labels) ** 0.5, 3)}


def finished(network, a, teacher, test, started):
    """Write what was learned, and how it stands beside the teacher."""
    scales = network.scales() if a.int8 else None
    if a.int8:
        rounded = logits_of(network, test)
        network = network.bare()
    elif a.batch_norm and not a.mobile:
        normed = network
        network = VGG16SE(**sizes_of({k: v for k, v in normed.state_dict().items() if ".norm." not in k})).to(a.device)
        fold_norms(normed, network)
    a.attention = "mobile" if a.mobile else sizes_of(network.state_dict())["attention"]
    train.write(network, test, a, started)
    said = json.loads((a.out / "metrics.json").read_text())
    theirs = logits_of(teacher, test)
    if a.mobile:
        said["architecture"] = "mobilenet_v3_small"
    said["teacher_top1"] = round(float((theirs.argmax(1) == test.labels).mean()), 5)
    said["lost"] = lost(theirs, logits_of(network, test), test.labels)
    if scales:
        said["lost_in_8_bits"] = lost(theirs, rounded, test.labels)
        (a.out / "scales.json").write_text(json.dumps(scales, indent=1) + "\n")
    if a.mobile:
        torch.onnx.export(network.cpu().eval(), torch.zeros(1, 3, a.input, a.input), a.out / "network.onnx", dynamo=False,
                          dynamic_axes={"input": {0: "N"}}, input_names=["input"], output_names=["logits"])
    (a.out / "metrics.json").write_text(json.dumps(said, indent=1).replace(",\n   ", ",") + "\n")
    print(json.dumps({k: said[k] for k in ("parameters", "top1", "teacher_top1", "lost", "lost_in_8_bits") if k in said}))


def main(argv=None):
    a, started = options(argv), time.monotonic()
    if a.threads:
        torch.set_num_threads(a.threads)
    a.out.mkdir(parents=True, exist_ok=True)
    pictures, test = Pictures(a.train, a.input), Pictures(a.test, a.input)
    if pictures.classes != test.classes:
        sys.exit(f"distil: {a.train} and {a.test} hold different classes: draw or sort them alike")
    place = dict(device=a.device, memory_format=torch.channels_last)
    teacher = network_of(a.teacher).to(**place)
    network = student_of(a, teacher, len(pictures.classes), pictures).to(**place)
    loss_of = distillation(teacher, network, a)
    if a.int8:
        network = Quantized(network).to(a.device)
        network.observe(pictures.centre(np.arange(i, len(pictures), len(pictures) // 64)).to(a.device) for i in range(4))
    checkpoint = {"stage": 0}
    if (a.out / "checkpoint.pt").exists():
        checkpoint = torch.load(a.out / "checkpoint.pt", map_location=a.device)
        network.load_state_dict(checkpoint["weights"])
    if checkpoint["stage"] == 0:
        stage = train.Stage("distil", a.epochs, a.input, 1e-3, 1e-3, 1e-3, 1e-3)
        train.run_stage(network, stage, 0, pictures, a, checkpoint, loss_of=loss_of)
    finished(network, a, teacher, test, started)


if __name__ == "__main__":
    main()
