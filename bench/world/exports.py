"""Exports image classifiers of all kinds with seeded random weights to ONNX, for `make bench BENCH=int8-world`.

    python bench/world/exports.py build/bench/exports [NAME ...]

It needs torch, torchvision, timm, onnx, onnxscript, and for the YOLO networks ultralytics. Each network comes from both
exporters of PyTorch, where they can; what is there already stays.
"""
import os
import sys
import warnings

import timm
import torch
import torchvision.models as tv

warnings.simplefilter("ignore")
SIZE = 96

NETWORKS = {
    "resnet18": lambda: tv.resnet18(num_classes=3),
    "mobilenet_v2": lambda: tv.mobilenet_v2(num_classes=3),
    "mobilenet_v3_small": lambda: tv.mobilenet_v3_small(num_classes=3),
    "efficientnet_b0": lambda: tv.efficientnet_b0(num_classes=3),
    "squeezenet1_1": lambda: tv.squeezenet1_1(num_classes=3),
    "shufflenet": lambda: tv.shufflenet_v2_x0_5(num_classes=3),
    "densenet121": lambda: tv.densenet121(num_classes=3),
    "regnet_y_400mf": lambda: tv.regnet_y_400mf(num_classes=3),
    "googlenet": lambda: tv.googlenet(num_classes=3, aux_logits=False, init_weights=False),
    "convnext": lambda: timm.create_model("convnext_atto", num_classes=3),
    "vit": lambda: timm.create_model("vit_tiny_patch16_224", img_size=SIZE, num_classes=3),
    "swin": lambda: timm.create_model("swin_tiny_patch4_window7_224", img_size=224, num_classes=3,
                                      depths=(1, 1, 1, 1), embed_dim=24, num_heads=(1, 2, 4, 8)),
    "mobilevit": lambda: timm.create_model("mobilevit_xxs", num_classes=3),
    "seresnet18": lambda: timm.create_model("legacy_seresnet18", num_classes=3),
    "ghostnet": lambda: timm.create_model("ghostnet_050", num_classes=3),
    "repvgg": lambda: timm.create_model("repvgg_a0", num_classes=3),
    "hardcorenas": lambda: timm.create_model("tinynet_e", num_classes=3),
    "lcnet": lambda: timm.create_model("lcnet_050", num_classes=3),
}


def seeded(make, size):
    """A network whose normalizations have seen noise, so that it says something."""
    torch.manual_seed(0)
    net = make().eval()
    for part in net.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.7, 1.3)
            torch.nn.init.normal_(part.bias, std=0.1)
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randn(4, 3, size, size))
    return net.eval()


def export(name, out):
    size = 224 if name == "swin" else SIZE
    net = seeded(NETWORKS[name], size)
    x = torch.randn(1, 3, size, size)
    for kind in ("dynamo", "legacy"):
        path = os.path.join(out, f"{name}_{kind}.onnx")
        if os.path.exists(path):
            continue
        try:
            if kind == "dynamo":
                torch.onnx.export(net, x, path, dynamo=True, external_data=False, verbose=False)
            else:
                torch.onnx.export(net, x, path, dynamo=False, opset_version=16 if name == "swin" else 13,
                                  dynamic_axes={"x": {0: "batch"}}, input_names=["x"], output_names=["y"])
        except Exception as e:
            print(f"{name} {kind}: {str(e)[:150]}")


def export_yolo(name, out):
    from ultralytics import YOLO
    torch.manual_seed(0)
    net = YOLO(name + ".yaml")
    for opset in (None, 12):
        path = os.path.join(out, f"{name}_op{opset}.onnx")
        if not os.path.exists(path):
            os.replace(net.export(format="onnx", imgsz=SIZE, opset=opset, simplify=False, device="cpu"), path)


def main():
    out, wanted = sys.argv[1], sys.argv[2:]
    os.makedirs(out, exist_ok=True)
    for name in NETWORKS:
        if not wanted or name in wanted:
            export(name, out)
    for name in ("yolov8n-cls", "yolo11n-cls"):
        if not wanted or name in wanted:
            try:
                export_yolo(name, out)
            except ImportError:
                print(f"{name}: ultralytics is not installed")


if __name__ == "__main__":
    main()
