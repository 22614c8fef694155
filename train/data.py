"""Image folders → batches, prepared exactly as the bundle declares.

Evaluation is torchvision's preset: shorter side to round(S·256/224) with Pillow's antialiased bilinear,
centre crop S×S, /255, ImageNet mean and deviation. Training sees crops from the same resized picture.
"""

import copy
import hashlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.datasets import ImageFolder

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def shorter_side(size):
    """Pixels of the shorter side before the crop, as vggse-agent's Torchvision(size)."""
    return (size * 256 + 112) // 224


def load_square(path, size):
    """The resized picture around its centre crop: as much margin on each side as the shorter side leaves."""
    side = shorter_side(size)
    margin = (side - size) // 2
    with Image.open(path) as image:
        image = image.convert("RGB")
        w, h = image.size
        w, h = (int(side * w / h), side) if h <= w else (side, int(side * h / w))
        image = image.resize((w, h), Image.Resampling.BILINEAR)
    left, top = round((w - size) / 2) - margin, round((h - size) / 2) - margin
    return np.asarray(image.crop((left, top, left + size + 2 * margin, top + size + 2 * margin)))


class Pictures:
    """All pictures of a folder in memory, uint8 N×H×W×3, with a cache file beside the folder."""

    def __init__(self, folder, size, workers=2):
        self.folder, self.size = Path(folder), size
        tree = ImageFolder(folder)
        self.classes, self.paths = tree.classes, [p for p, _ in tree.samples]
        self.labels = np.array([label for _, label in tree.samples])
        # Names, sizes and times stand for the content: a folder drawn anew gets a new cache.
        stats = ((p, Path(p).stat()) for p in self.paths)
        key = hashlib.sha256("\n".join(f"{p} {s.st_size} {s.st_mtime_ns}" for p, s in stats).encode()).hexdigest()
        cache = self.folder.with_name(f"{self.folder.name}-{size}-{key[:8]}.npy")
        if not cache.exists():
            with ProcessPoolExecutor(workers) as pool:
                rows = pool.map(load_square, self.paths, [size] * len(self.paths), chunksize=64)
                np.save(cache, np.stack(list(rows)))
        self.pixels = np.load(cache, mmap_mode="r")

    def __len__(self):
        return len(self.labels)

    def part(self, classes, each=None):
        """The pictures of some classes, numbered anew; the first few of each where each says how many."""
        part, classes = copy.copy(self), list(classes)
        rows = [np.flatnonzero(self.labels == c)[:each] for c in classes]
        part.pixels, part.paths = self.pixels[np.concatenate(rows)], [self.paths[i] for r in rows for i in r]
        part.labels = np.concatenate([np.full(len(r), new) for new, r in enumerate(rows)])
        part.classes = [self.classes[c] for c in classes]
        return part

    def centre(self, rows):
        """A batch as the deployed network sees it."""
        m = (self.pixels.shape[1] - self.size) // 2
        return normalise(torch.from_numpy(self.pixels[rows, m : m + self.size, m : m + self.size].copy()))

    def augmented(self, rows, rng, turns):
        """A batch with random crops, mirrored, optionally turned by quarters; light, colour, patches vary."""
        spare = self.pixels.shape[1] - self.size + 1
        batch = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for i, row in enumerate(rows):
            y, x = rng.integers(spare, size=2)
            image = self.pixels[row, y : y + self.size, x : x + self.size]
            if rng.random() < 0.5:
                image = image[:, ::-1]
            batch[i] = np.rot90(image, rng.integers(4)) if turns else image
            if rng.random() < 0.2:  # a patch hides something small
                y, x = rng.integers(self.size, size=2)
                batch[i, y : y + self.size // 12, x : x + self.size // 12] = rng.integers(256)
        gain = rng.uniform(0.8, 1.25, (len(rows), 1, 1, 1)) * rng.uniform(0.94, 1.06, (len(rows), 1, 1, 3))
        lift = rng.uniform(-12, 12, (len(rows), 1, 1, 1))
        light = torch.from_numpy(gain.astype(np.float32)), torch.from_numpy(lift.astype(np.float32))
        return normalise((torch.from_numpy(batch).float() * light[0] + light[1]).clamp_(0, 255))


def normalise(nhwc):
    """uint8 or float 0..255 N×H×W×3 → normalised float N×3×H×W, channels last in memory."""
    return (nhwc.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
