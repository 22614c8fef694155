"""A network by the name of its file: a bundle of vggse-agent, or a checkpoint of train.py."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from vgg16se import from_weights


def weights_of(path):
    """The state_dict of a bundle's folder, an .onnx that `vggse-agent` wrote, a .safetensors or a .pth; {} where it is
    a network of another kind."""
    path = Path(path)
    if path.is_dir():
        path = path / "fp32.onnx"
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix != ".onnx":
        weights = torch.load(path, map_location="cpu")
        return weights.get("weights", weights)
    import onnx
    from onnx import numpy_helper

    held = {t.name: t for t in onnx.load(path).graph.initializer}
    if "classifier.6.weight" not in held or "features.0.weight" not in held:
        return {}
    weights = {n: torch.from_numpy(numpy_helper.to_array(t).copy()) for n, t in held.items() if n.startswith(("features.", "classifier."))}
    return with_identity_norms(weights)


def with_identity_norms(weights, eps=1e-5):
    """The batch norms of BAM, which import has folded away, as ones that change nothing."""
    for last, norm in (("channel.2", "channel.3"), ("spatial.6", "spatial.7")):
        for name in [n for n in weights if n.endswith(last + ".bias")]:
            count, begin = len(weights[name]), name.removesuffix(last + ".bias") + norm + "."
            values = {"weight": (1 + eps) ** 0.5, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
            weights |= {begin + k: torch.full((count,), v) for k, v in values.items()}
            weights[begin + "num_batches_tracked"] = torch.tensor(0)
    return weights


class Foreign(torch.nn.Module):
    """A bundle of any other network: its answers, by ONNX Runtime."""

    def __init__(self, path):
        super().__init__()
        import onnxruntime

        self.session = onnxruntime.InferenceSession(str(Path(path) / "fp32.onnx" if Path(path).is_dir() else path))
        self.input = self.session.get_inputs()[0].name

    def forward(self, x):
        return torch.from_numpy(self.session.run(None, {self.input: x.cpu().contiguous().numpy()})[0]).to(x.device)


def network_of(path):
    """The network of a bundle or a checkpoint, ready to evaluate."""
    weights = weights_of(path)
    return from_weights(weights) if weights else Foreign(path).eval()
