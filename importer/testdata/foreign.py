"""Other networks as PyTorch's two exporters write them, and what PyTorch answers with them.

    python importer/testdata/foreign.py     # wants torch, torchvision, onnx, onnxscript, safetensors

Writes foreign/NAME.legacy.onnx, foreign/NAME.new.onnx with its weights outside, and
foreign/NAME.safetensors with input and logits. The networks of section 8.1 of the article, made narrow: a ResNet
and an Inception with SE blocks, and MobileNetV3, which has them by birth.
"""

import sys
import warnings
from pathlib import Path

import onnx
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import mobilenetv3, resnet
from torchvision.models.googlenet import Inception

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "train"))
from attention import SEBlock  # noqa: E402

CLASSES, SIZE = 4, 64


class SEBasicBlock(resnet.BasicBlock):
    """ResNet's block with the gate on its branch, as Hu et al. place it."""

    def __init__(self, inplanes, planes, *args, **kwargs):
        super().__init__(inplanes, planes, *args, **kwargs)
        self.bn2 = nn.Sequential(self.bn2, SEBlock(planes, planes // 4))


class SEResNet(nn.Module):
    def __init__(self):
        super().__init__()
        down = nn.Sequential(nn.Conv2d(8, 16, 1, stride=2, bias=False), nn.BatchNorm2d(16))
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            SEBasicBlock(8, 8), SEBasicBlock(8, 16, stride=2, downsample=down), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x):
        return self.fc(torch.flatten(self.body(x), 1))


class SEInception(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 5, 4, 2), nn.ReLU(),
            Inception(8, 4, 4, 8, 2, 4, 4), SEBlock(20, 5), nn.MaxPool2d(3, 2, ceil_mode=True),
            Inception(20, 8, 4, 8, 2, 4, 4), SEBlock(24, 6), nn.AdaptiveAvgPool2d(1))
        self.fc = nn.Linear(24, CLASSES)

    def forward(self, x):
        return torch.softmax(self.fc(torch.flatten(self.body(x), 1)), 1)


def mobilenet():
    block = mobilenetv3.InvertedResidualConfig
    layers = [block(8, 3, 8, 8, True, "RE", 2, 1, 1), block(8, 5, 16, 8, True, "HS", 2, 1, 1), block(8, 5, 16, 8, True, "HS", 1, 1, 1)]
    return mobilenetv3.MobileNetV3(layers, 16, num_classes=CLASSES)


def without_paths(path):
    """The new exporter notes stack traces with the folders of this machine; the weights stay outside."""
    m = onnx.load(path, load_external_data=False)
    for node in m.graph.node:
        del node.metadata_props[:]
    for value in (*m.graph.value_info, *m.graph.input, *m.graph.output):
        del value.metadata_props[:]
    onnx.save(m, path)


def count(model, x):
    """Multiply-adds of convolutions and fully connected layers for one picture."""
    total = 0

    def hook(m, _, y):
        nonlocal total
        total += y[0].numel() * m.weight[0].numel()

    hooks = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    model(x[:1])
    for h in hooks:
        h.remove()
    return total


def main():
    warnings.filterwarnings("ignore")
    out = HERE / "foreign"
    out.mkdir(exist_ok=True)
    for name, make in (("se-resnet", SEResNet), ("se-inception", SEInception), ("mobilenetv3", mobilenet)):
        torch.manual_seed(1)
        model = make()
        for m in model.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(std=0.1)
                m.running_var.uniform_(0.5, 2)
            elif isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight)
        model.eval()
        x = torch.randn(2, 3, SIZE, SIZE)
        # the legacy exporter with a fixed batch of 1, the new one with a free batch
        torch.onnx.export(model, x[:1], out / f"{name}.legacy.onnx", dynamo=False, input_names=["image"])
        batch = torch.export.Dim("batch")
        torch.onnx.export(model, (x,), out / f"{name}.new.onnx", dynamo=True, external_data=True, verbose=False,
                          dynamic_shapes=({0: batch},))
        without_paths(out / f"{name}.new.onnx")
        if name == "se-inception":  # its Softmax comes off at import
            logits = model.fc(torch.flatten(model.body(x), 1))
        else:
            logits = model(x)
        save_file({"input": x, "logits": logits.detach()}, out / f"{name}.safetensors", {"macs": str(count(model, x))})


main()
