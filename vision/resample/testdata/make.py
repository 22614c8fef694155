"""Makes the goldens of model/golden_test.go beside this file: what Pillow, torchvision and OpenCV
answer to pictures that both languages draw from the same formulas.

    pip install pillow torchvision opencv-python-headless numpy && python make.py

Each case is a PNG of the 8-bit result in RGB, before scale, mean and std. normalize.json is
torchvision's ToTensor and Normalize for all 256 levels.
"""

import json
import pathlib

import cv2
import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode, functional, transforms

HERE = pathlib.Path(__file__).parent
FILL = 114


def draw(pattern: str, width: int, height: int) -> np.ndarray:
    """An RGB picture, by integers only."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    if pattern == "noise":
        h = ((y * width + x) * 3 + c).astype(np.uint32) * np.uint32(2654435761)
        h ^= h >> np.uint32(15)
        h *= np.uint32(2246822519)
        return (h >> np.uint32(24)).astype(np.uint8)
    if pattern == "stripes":  # hard edges, both ways, another width per channel
        return (((x // (3 + c) + y // (5 - c)) % 2) * 255).astype(np.uint8)
    ramp = (x * 255 // width + y * 255 // height) // 2 + c * 20
    disc = (2 * x - width) ** 2 + (2 * y - height) ** 2 < min(width, height) ** 2 // 4
    return np.where(disc, 255 - 60 * c, ramp).clip(0, 255).astype(np.uint8)


def resize(picture: np.ndarray, width: int, height: int, how: str) -> np.ndarray:
    if how == "pil-bilinear":
        image = functional.resize(Image.fromarray(picture), [height, width], InterpolationMode.BILINEAR)
        return np.asarray(image)
    return cv2.resize(picture, (width, height), interpolation={"area": cv2.INTER_AREA, "linear": cv2.INTER_LINEAR}[how])


def answer(case: dict) -> np.ndarray:
    picture, size, how = draw(case["pattern"], case["width"], case["height"]), case["size"], case["filter"]
    height, width = picture.shape[:2]
    if case["resize"] == "squash":
        return resize(picture, size, size, how)
    if case["resize"] == "shortest-crop":
        small = functional.resize(Image.fromarray(picture), case["shorter"], InterpolationMode.BILINEAR)
        if how != "pil-bilinear":
            small = Image.fromarray(resize(picture, *small.size, how))
        return np.asarray(functional.center_crop(small, [size, size]))
    image = Image.fromarray(picture)
    small = ImageOps.contain(image, (size, size), Image.Resampling.BILINEAR)
    if how != "pil-bilinear":
        small = Image.fromarray(resize(picture, *small.size, how))
    return np.asarray(ImageOps.pad(small, (size, size), Image.Resampling.BILINEAR, color=(FILL,) * 3))


def cases():
    for how, resize_mode, shorter, size, pattern, width, height in [
        ("pil-bilinear", "shortest-crop", 110, 96, "noise", 1280, 720),
        ("pil-bilinear", "shortest-crop", 110, 96, "stripes", 1280, 720),
        ("pil-bilinear", "shortest-crop", 256, 224, "scene", 1280, 720),
        ("pil-bilinear", "shortest-crop", 73, 64, "noise", 1080, 1920),
        ("pil-bilinear", "shortest-crop", 37, 33, "noise", 641, 479),
        ("pil-bilinear", "shortest-crop", 41, 40, "stripes", 4096, 4),
        ("pil-bilinear", "squash", 0, 96, "noise", 97, 61),
        ("pil-bilinear", "squash", 0, 64, "noise", 31, 17),
        ("pil-bilinear", "squash", 0, 64, "noise", 64, 64),
        ("pil-bilinear", "squash", 0, 48, "noise", 2000, 3),
        ("pil-bilinear", "squash", 0, 48, "noise", 3, 2000),
        ("pil-bilinear", "squash", 0, 32, "stripes", 9001, 41),
        ("pil-bilinear", "squash", 0, 7, "noise", 1, 1),
        ("pil-bilinear", "squash", 0, 9, "noise", 2, 1),
        ("pil-bilinear", "letterbox", 0, 40, "noise", 500, 50),
        ("pil-bilinear", "letterbox", 0, 40, "noise", 50, 500),
        ("pil-bilinear", "letterbox", 0, 45, "stripes", 333, 111),
        ("pil-bilinear", "letterbox", 0, 64, "noise", 101, 100),
        ("pil-bilinear", "letterbox", 0, 64, "noise", 20, 13),
        ("area", "squash", 0, 96, "noise", 1280, 720),
        ("area", "squash", 0, 96, "noise", 192, 288),
        ("area", "shortest-crop", 37, 33, "noise", 641, 479),
        ("area", "letterbox", 0, 45, "stripes", 333, 111),
        ("linear", "shortest-crop", 110, 96, "noise", 1280, 720),
        ("linear", "squash", 0, 64, "noise", 31, 17),
        ("linear", "squash", 0, 64, "stripes", 97, 61),
        ("linear", "letterbox", 0, 45, "noise", 2, 90),
    ]:
        name = f"{how}-{resize_mode}-{size}-{pattern}-{width}x{height}"
        yield dict(name=name, filter=how, resize=resize_mode, shorter=shorter, size=size, fill=FILL,
                   pattern=pattern, width=width, height=height)


def main():
    listed = list(cases())
    for case in listed:
        Image.fromarray(answer(case)).save(HERE / f"{case['name']}.png", optimize=True)
    versions = dict(pillow=PIL.__version__, torchvision=torchvision.__version__, opencv=cv2.__version__)
    (HERE / "cases.json").write_text(json.dumps(dict(made_with=versions, cases=listed), indent=1) + "\n")

    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    tensor = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])(ramp)
    assert tensor.dtype == torch.float32
    (HERE / "normalize.json").write_text(json.dumps(tensor[:, 0].tolist()) + "\n")


if __name__ == "__main__":
    main()
