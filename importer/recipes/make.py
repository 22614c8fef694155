"""Writes recipes.tsv beside this file: how torchvision and timm prepare pictures for the weights
that they publish, as the two libraries say themselves.

    pip install torch torchvision timm && python make.py

Columns: name, height×width of the input, resize (shorter=N, squash, squash=N), filter, mean and std,
which are "imagenet" where both are ImageNet's, "half" for 0.5, "clip" for CLIP's. A name without weights or tag stands for the library's default.
"""

import math
import pathlib

import timm
import torchvision
from torchvision import models
from torchvision.transforms import InterpolationMode


def numbers(v):
    return ",".join(f"{x:.10g}" for x in v)


def torchvision_rows():
    for name in models.list_models(module=models):
        weights = models.get_model_weights(name)
        for w in [weights.DEFAULT, *weights]:
            t = w.transforms()
            if "categories" not in w.meta or not hasattr(t, "resize_size"):
                continue
            (size,), (shorter,) = t.crop_size, t.resize_size
            label = f"torchvision:{name}" + ("" if w is weights.DEFAULT else f".{w.name}")
            how = {InterpolationMode.BILINEAR: "pil-bilinear", InterpolationMode.BICUBIC: "pil-bicubic"}[t.interpolation]
            yield label, f"{size}×{size}", f"shorter={shorter}", how, numbers(t.mean), numbers(t.std)
            if w is weights.DEFAULT:
                yield f"torchvision:{name}.{w.name}", f"{size}×{size}", f"shorter={shorter}", how, numbers(t.mean), \
                    numbers(t.std)


def timm_rows():
    default = {}
    for name in timm.list_pretrained():
        c = timm.models.get_pretrained_cfg(name)
        channels, height, width = c.input_size
        if channels != 3 or height != width or c.crop_mode not in ("center", "squash"):
            continue
        scaled = math.floor(height / c.crop_pct)
        how = "squash" if c.crop_mode == "squash" else f"shorter={scaled}"
        if c.crop_mode == "squash" and scaled != height:
            how = f"squash={scaled}"
        row = f"{height}×{width}", how, f"pil-{c.interpolation}", numbers(c.mean), numbers(c.std)
        yield f"timm:{name}", *row
        plain = name.split(".")[0]
        if plain not in default and timm.models.get_pretrained_cfg(plain).tag == c.tag:
            default[plain] = True
            yield f"timm:{plain}", *row


CODES = {
    "0.485,0.456,0.406\t0.229,0.224,0.225": "imagenet",
    "0.5,0.5,0.5\t0.5,0.5,0.5": "half",
    "0.48145466,0.4578275,0.40821073\t0.26862954,0.26130258,0.27577711": "clip",
}
rows = sorted({"\t".join([*row[:4], CODES.get("\t".join(row[4:]), "\t".join(row[4:]))]) for rows in (torchvision_rows(), timm_rows()) for row in rows})
text = f"# made by make.py of torchvision {torchvision.__version__.split('+')[0]} and timm {timm.__version__}\n"
pathlib.Path(__file__).with_suffix("").with_name("recipes.tsv").write_text(text + "\n".join(rows) + "\n")
