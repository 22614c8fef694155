"""Trains networks of others for a few minutes on the demo's pictures and exports them to ONNX: how much of what they
have learned INT8 keeps is measured by `make bench BENCH=int8-trained`.

    python bench/world/train.py PICTURES OUT [NAME ...]

PICTURES has a folder for each class, as `vggse-agent demo-data` writes them. It needs torch, torchvision, onnx and
onnxscript. Pictures are squashed to 64x64 and normalized with 0.5 and 0.5. What is there already stays.
"""
import os
import sys
import time
import warnings

import numpy as np
import torch
import torchvision.models as tv
from PIL import Image

warnings.simplefilter("ignore")
SIZE, BATCH, MINUTES = 64, 64, 4

NETWORKS = {
    "resnet18": lambda n: tv.resnet18(num_classes=n),
    "mobilenet_v2": lambda n: tv.mobilenet_v2(num_classes=n),
    "regnet_y_400mf": lambda n: tv.regnet_y_400mf(num_classes=n),
}


def pictures(folder):
    """The pictures as bytes, N x 3 x SIZE x SIZE, their classes, and the names of these."""
    names = sorted(e.name for e in os.scandir(folder) if e.is_dir())
    x, y = [], []
    for i, name in enumerate(names):
        for file in sorted(os.listdir(os.path.join(folder, name))):
            image = Image.open(os.path.join(folder, name, file)).convert("RGB").resize((SIZE, SIZE), Image.BILINEAR)
            x.append(np.asarray(image).transpose(2, 0, 1))
            y.append(i)
    return torch.from_numpy(np.stack(x)), torch.tensor(y), names


def train(network, x, y, minutes):
    """AdamW with a cosine that ends when so much time of processors is spent; mirror images and shifts."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    start, step = time.process_time(), 0
    network.train()
    while (share := (time.process_time() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 50) * (0.5 + 0.5 * np.cos(np.pi * share))
        at = torch.randint(len(x), (BATCH,))
        batch = (x[at].float() / 127.5 - 1)
        if step % 2:
            batch = batch.flip(3)
        shift = torch.randint(-4, 5, (2,)).tolist()
        batch = batch.roll(shift, (2, 3)).contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(network(batch), y[at], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
    network.eval()
    return step, loss.item()


def main():
    folder, out = sys.argv[1:3]
    x, y, names = pictures(folder)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "labels.txt"), "w") as f:
        f.write("\n".join(names) + "\n")
    for name in sys.argv[3:] or NETWORKS:
        path = os.path.join(out, name + ".onnx")
        if os.path.exists(path):
            continue
        torch.manual_seed(1)
        network = NETWORKS[name](len(names)).to(memory_format=torch.channels_last)
        steps, loss = train(network, x, y, MINUTES)
        torch.onnx.export(network, torch.zeros(1, 3, SIZE, SIZE), path, dynamo=False, opset_version=17, input_names=["x"],
                          output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}})
        print(f"{name}: {steps} steps of {BATCH}, last loss {loss:.3f}", flush=True)


if __name__ == "__main__":
    main()
