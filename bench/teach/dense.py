#!/usr/bin/env python3
"""A network that knows some labels, in minutes: the demo's convolutions, dense layers trained on the first labels alone.

    dense.py make BUNDLE DIR KNOWN      DIR/{calib,pool,test,layer}.safetensors from the pictures in DIR/{train,calib,pool,test}
    dense.py frontier DIR KNOWN EACH    what more than the features would bring, with EACH pictures of each label

The convolutions have seen the other labels: what is new is easier here than behind a network that has not (bench/teach.go
trains one). The dense layers read the fourth stage's output. make keeps what the networks give as arrays.npz: x the input of
the dense layers, h their first layer, f the features, z the logarithms of what the first four SE blocks squeeze. frontier
fits logistic regressions to these; the logits of new labels are lowered until so few points of the known ones' test
pictures are lost, chosen on the test pictures. Gated: where no new label is ahead, the layer of before answers.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "train"))
from data import load_square, normalise  # noqa: E402

SIZE, BLOCKS, EPOCHS = 64, 4, 25


class Convolutions:
    def __init__(self, bundle):
        model = onnx.load(Path(bundle) / "fp32.onnx")
        end = [n for n in model.graph.node if n.op_type == "MaxPool"][BLOCKS - 1].output[0]
        del model.graph.output[:]
        for name in [end] + [f"squeeze{b}" for b in range(1, BLOCKS + 1)]:
            model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def __call__(self, folder, labels):
        x, z, y = [], [], []
        for c, label in enumerate(labels):
            files = sorted((Path(folder) / label).iterdir())
            for i in range(0, len(files), 50):
                square = np.stack([load_square(p, SIZE) for p in files[i : i + 50]])
                m = (square.shape[1] - SIZE) // 2
                tensor = normalise(torch.from_numpy(square[:, m : m + SIZE, m : m + SIZE].copy())).contiguous().numpy()
                end, *squeeze = self.session.run(None, {self.session.get_inputs()[0].name: tensor})
                x.append(end.reshape(len(tensor), -1))
                z.append(np.log(np.concatenate([s.reshape(len(tensor), -1) for s in squeeze], 1) + 1e-3))
                y += [c] * len(tensor)
        return np.concatenate(x), np.concatenate(z), np.array(y)


def train(x, y, classes):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(x.shape[1], 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 256), nn.ReLU(),
                        nn.Dropout(0.1), nn.Linear(256, classes))
    adam = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=0.02)
    for epoch in range(EPOCHS):
        for g in adam.param_groups:
            g["lr"] = 5e-4 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for rows in torch.randperm(len(x)).split(64):
            noisy = x[rows] + 0.1 * torch.randn(len(rows), x.shape[1])
            loss = nn.functional.cross_entropy(net(noisy), y[rows], label_smoothing=0.1)
            adam.zero_grad()
            loss.backward()
            adam.step()
    return net.eval()


def make(bundle, folder, known):
    folder, known, of = Path(folder), int(known), Convolutions(bundle)
    labels = sorted(p.name for p in (folder / "calib").iterdir())
    x, _, y = of(folder / "train", labels[:known])
    scale = x.std()
    net, arrays = train(torch.from_numpy(x / scale), torch.from_numpy(y), known), {}
    for name in ("calib", "pool", "test"):
        x, z, y = of(folder / name, labels)
        with torch.inference_mode():
            h = net[:2](torch.from_numpy(x / scale))
            f = net[2:5](h).numpy()
        arrays |= {f"{name}_x": x.astype(np.float16), f"{name}_h": h.numpy(), f"{name}_f": f, f"{name}_z": z, f"{name}_y": y}
        save_file({"features": f}, folder / f"{name}.safetensors",
                  {"labels": json.dumps([labels[c] for c in y]), "files": json.dumps([""] * len(y))})
    w, b = net[6].weight.detach().numpy(), net[6].bias.detach().numpy()
    np.savez(folder / "arrays.npz", w=w, b=b, **arrays)
    save_file({"features": np.concatenate([w, b[:, None]], 1)}, folder / "layer.safetensors",
              {"labels": json.dumps(labels[:known]), "files": json.dumps([""] * known)})


def rows_of(a, name, kind):
    """What is asked for, each part centred as calib is and of length 1."""
    parts = []
    for p in kind.split("+"):
        of, v = a[f"calib_{p}"].astype(float), a[f"{name}_{p}"].astype(float)
        v = (v - of.mean(0)) / (of.std(0) + 1e-3) if p == "z" else v - of.mean(0)
        parts.append(v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9))
    return np.concatenate(parts, 1)


def frontier(folder, known, each):
    a, known, each = np.load(Path(folder) / "arrays.npz"), int(known), int(each)
    y, rng = a["test_y"], np.random.default_rng(1)
    before, old = a["test_f"] @ a["w"].T + a["b"], y < known
    right_before = (before.argmax(1) == y)[old].mean()
    pool = np.concatenate([rng.permutation(np.flatnonzero(a["pool_y"] == c))[:each] for c in range(y.max() + 1)])
    stored = np.concatenate([np.flatnonzero(a["calib_y"] == c)[:50] for c in range(known)])
    truth = np.concatenate([a["pool_y"][pool], a["calib_y"][stored]])
    print(f"| {each} a label; before {100 * right_before:.2f} | | new labels found, no limit (lost) | 1 point | 0.5 points |\n|---|---|---|---|---|")
    for kind in ("f", "f+z", "f+h", "h+z"):
        fitted = np.concatenate([rows_of(a, "pool", kind)[pool], rows_of(a, "calib", kind)[stored]])
        lr = LogisticRegression(C=10, max_iter=400, class_weight="balanced").fit(fitted, truth)
        z = lr.decision_function(rows_of(a, "test", kind))
        for gated in (False, True):
            cells = []
            for limit in (1, 0.01, 0.005):
                for less in np.arange(0, 40, 0.05):
                    top = (z - less * (np.arange(z.shape[1]) >= known)).argmax(1)
                    if gated:
                        top = np.where(top < known, before.argmax(1), top)
                    lost = right_before - (top == y)[old].mean()
                    if lost <= limit:
                        break
                cells.append(f"{100 * (top == y)[~old].mean():.1f} ({100 * lost:.2f})")
            print(f"| {kind} | {'gated' if gated else ''} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"make": make, "frontier": frontier}[sys.argv[1]](*sys.argv[2:])
