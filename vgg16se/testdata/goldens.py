"""Small checkpoints of every kind, and what PyTorch answers with them.

    python vgg16se/testdata/goldens.py       # wants torch, torchvision, pillow, numpy, safetensors

Writes beside itself the checkpoints and goldens.json. The weights are seeded; the pictures follow a formula that
the Go test repeats; the logits are computed in float64 with the weights as stored. The network is the
class of train/vgg16se.py, and torchvision's own code for plain VGG16 and batch normalization.
picture.png and picture.json are a picture and what two of the networks answer behind torchvision's preset.

    python vgg16se/testdata/goldens.py full DIR

writes into DIR instead the article's network at full size and torchvision's vgg16 with 1000 classes, with
pairs for 'vggse-agent verify --golden' and the logits of the picture.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import vgg
from torchvision.ops import SqueezeExcitation
from torchvision.transforms._presets import ImageClassification

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "train"))
from attention import ATTENTION, SEBlock  # noqa: E402
from vgg16se import VGG16SE  # noqa: E402

WIDTH, REDUCTION, HIDDEN, CLASSES = 1 / 32, 2, 8, 5
cases = []


def pictures(n, size):
    """Element k of the batch is k·2654435761 mod 2³² scaled to −1..1."""
    k = torch.arange(n * 3 * size * size, dtype=torch.int64)
    return ((k * 2654435761 % 2**32).double() / 2**31 - 1).float().reshape(n, 3, size, size)


def case(file, model, sizes=(64,), pool=7, **architecture):
    """Record the answers of the model, which has the weights of the file."""
    model = model.eval().double()
    for size in sizes:
        with torch.no_grad():
            logits = model(pictures(2, size).double())
        assert (logits[0] - logits[1]).abs().max() > 1e-3 * logits.abs().max(), file
        cases.append({"file": file, "input": size, "logits": logits.tolist(), "architecture": {
            "InputSize": size, "Width": WIDTH, "Reduction": REDUCTION, "Hidden": HIDDEN, "PoolSize": pool,
            "Classes": CLASSES, **architecture}})


def answers(model, size):
    """The logits of picture.png behind torchvision's preset for the size."""
    preset = ImageClassification(crop_size=size, resize_size=round(size * 256 / 224), antialias=True)
    with torch.no_grad():
        return model.eval().double()(preset(Image.open(HERE / "picture.png")).double()[None])[0].tolist()


def paint():
    """picture.png: soft blobs of colour."""
    noise = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(5))
    pixels = nn.functional.interpolate(noise, (150, 200), mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    Image.fromarray((pixels * 255).byte().numpy().astype(numpy.uint8)).save(HERE / "picture.png")


def lively(model, seed):
    """Weights and statistics such that every part of the network matters."""
    torch.manual_seed(seed)
    for m in model.modules():
        if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)):
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.normal_(std=0.3)
            m.running_mean.normal_(std=0.3)
            m.running_var.uniform_(0.5, 2)
        elif isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                m.bias.data.normal_(std=0.1)
    return model


def article(seed, pool=7):
    return lively(VGG16SE(CLASSES, WIDTH, REDUCTION, HIDDEN, pool), seed)


def torchvision(seed, norm, se=None, letter="D"):
    """torchvision's VGG16, or another by its letter, of the same width; with se, gates before each max-pool."""
    config = [c if c == "M" else int(c * WIDTH) for c in vgg.cfgs[letter]]
    model = vgg.VGG(vgg.make_layers(config, batch_norm=norm), num_classes=CLASSES, init_weights=False)
    last = config[-2]
    model.classifier = nn.Sequential(
        nn.Linear(last * 49, HIDDEN), nn.ReLU(), nn.Dropout(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Dropout(),
        nn.Linear(HIDDEN, CLASSES))
    if se:
        layers, channels = [], None
        for m in model.features:
            if isinstance(m, nn.MaxPool2d):
                layers.append(se(channels, channels // REDUCTION))
            channels = getattr(m, "out_channels", channels)
            layers.append(m)
        model.features = nn.Sequential(*layers)
    return lively(model, seed)


def irregular():
    """A network as pruning leaves it: every convolution and every gate of its own width."""
    channels, squeezed = [3, 2, 5, 4, 8, 7, 6, 9, 16, 11, 10, 13, 12], [1, 3, 2, 5, 4]
    model = lively(VGG16SE(CLASSES, hidden=(8, 6), channels=channels, squeezed=squeezed), 6)
    torch.save(model.state_dict(), HERE / "irregular.pth")
    case("irregular.pth", model, Width=0, Reduction=0, Hidden2=6, Channels=channels, Squeezed=squeezed)


def relatives():
    """VGG11, 13 and 19, and torchvision's gates, which are 1×1 convolutions with a bias."""
    for name, letter, norm, depths in (("vgg11.pth", "A", False, [1, 1, 2, 2, 2]), ("vgg11-bn.pth", "A", True, [1, 1, 2, 2, 2]),
                                       ("vgg13-bn.pth", "B", True, [2, 2, 2, 2, 2]), ("vgg19.pth", "E", False, [2, 2, 4, 4, 4])):
        model = torchvision(9, norm, letter=letter)
        torch.save(model.state_dict(), HERE / name)
        case(name, model, Attention="none", Depths=depths)
    for name, norm, letter, depths in (("se-bias.pth", False, "D", None), ("se-bias-11-bn.pth", True, "A", [1, 1, 2, 2, 2])):
        model = torchvision(9, norm, se=SqueezeExcitation, letter=letter)
        torch.save(model.state_dict(), HERE / name)
        case(name, model, Attention="se-bias", **({"Depths": depths} if depths else {}))


def blocks():
    """blocks.safetensors: every attention block alone, KIND.x → KIND.y, with its weights."""
    tensors = {}
    for kind, block in {**ATTENTION, "se-bias": SqueezeExcitation}.items():
        b = lively(block(8, 3), 7).eval().double()
        x = torch.randn(8, 7, 7, generator=torch.Generator().manual_seed(8)).double()
        with torch.no_grad():
            tensors[f"{kind}.x"], tensors[f"{kind}.y"] = x, b(x[None])[0]
        tensors |= {f"{kind}.{n}".replace("fc1", "fc.0").replace("fc2", "fc.2"): t for n, t in b.state_dict().items() if t.is_floating_point()}
    save_file({n: t.contiguous() for n, t in tensors.items()}, HERE / "blocks.safetensors")


def rounded(model, dtype):
    """The weights as they are after a save in another type."""
    model.load_state_dict({k: v.to(dtype).float() for k, v in model.state_dict().items()})
    return model


def odd_storages(state):
    """The same values as views: transposed, channels last, expanded, and slices of one storage."""
    state = dict(state)
    for name, t in state.items():
        if t.dim() == 4:
            state[name] = t.contiguous(memory_format=torch.channels_last)
        elif t.dim() == 2:
            state[name] = t.t().contiguous().t()
    biases = [n for n in state if n.endswith(".bias")]
    flat = torch.cat([state[n] for n in biases])
    for n, part in zip(biases, flat.split([len(state[n]) for n in biases])):
        state[n] = part
    return state


def main():
    model = article(1)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    torch.save(state, HERE / "article.pth")
    save_file(state, HERE / "article.safetensors")
    torch.save(state, HERE / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(odd_storages(state), HERE / "views.pth")
    torch.save(odd_storages(state), HERE / "views-legacy.pth", _use_new_zipfile_serialization=False)
    optimizer = torch.optim.AdamW(model.parameters())
    model(pictures(1, 64)).sum().backward()
    optimizer.step()
    model.load_state_dict(state)
    torch.save({"epoch": 3, "best": 0.5, "arch": "vgg16se", "args": argparse.Namespace(lr=0.1), "optimizer": optimizer.state_dict(),
                "state_dict": {"module." + k: v for k, v in state.items()}}, HERE / "nested.pth")
    averaged = torch.optim.swa_utils.AveragedModel(model)
    torch.save({"epoch": 3, "ema": {"_orig_mod." + k: v for k, v in averaged.state_dict().items()}}, HERE / "ema.pth")
    case("article.pth", model, sizes=(32, 64, 96, 224, 256, 448))
    for file in ("article.safetensors", "legacy.pt", "views.pth", "views-legacy.pth", "nested.pth", "ema.pth"):
        case(file, model)
    for dtype, name in ((torch.float16, "half.pth"), (torch.bfloat16, "bfloat16.pth"), (torch.float64, "double.pth")):
        torch.save({k: v.to(dtype) for k, v in article(2).state_dict().items()}, HERE / name)
        case(name, rounded(article(2), dtype))
    save_file({k: v.bfloat16() for k, v in article(2).state_dict().items()}, HERE / "bfloat16.safetensors")
    case("bfloat16.safetensors", rounded(article(2), torch.bfloat16))
    overlapping = article(3, pool=2)
    torch.save(overlapping.state_dict(), HERE / "overlapping.pth")
    case("overlapping.pth", overlapping, sizes=(96, 64, 128), pool=2)
    for name, norm, se in (("torchvision.pth", False, False), ("torchvision-bn.pth", True, False), ("article-bn.pth", True, SEBlock)):
        model = torchvision(4, norm, se)
        torch.save(model.state_dict(), HERE / name)
        case(name, model, Attention="se" if se else "none")
    for kind in ("sse", "scse", "bam", "cbam"):
        model = lively(VGG16SE(CLASSES, WIDTH, REDUCTION, HIDDEN, attention=kind), 6 if kind == "cbam" else 5)
        torch.save(model.state_dict(), HERE / f"{kind}.pth")
        case(f"{kind}.pth", model, sizes=(64, 96), Attention=kind)
    relatives()
    irregular()
    blocks()
    (HERE / "goldens.json").write_text(json.dumps(cases, indent=1) + "\n")
    paint()
    picture = {"article.pth": answers(article(1), 64), "torchvision.pth": answers(torchvision(4, False), 64)}
    (HERE / "picture.json").write_text(json.dumps(picture, indent=1) + "\n")


def full(out):
    """Full size, for the optional test."""
    torch.manual_seed(1)
    picture = {}
    for name, model in (("article", VGG16SE()), ("torchvision", vgg.vgg16())):
        model = model.eval()
        torch.save(model.state_dict(), out / f"{name}.pth")
        x = torch.randn(2, 3, 224, 224)
        with torch.no_grad():
            save_file({"input": x, "logits": model(x)}, out / f"{name}.safetensors")
        picture[name] = answers(model, 224)
    (out / "picture.json").write_text(json.dumps(picture))


if sys.argv[1:2] == ["full"]:
    full(Path(sys.argv[2]))
else:
    main()
