"""Writes the pictures of stills/ and, beside each, the pixels that Pillow reads: NAME.bgr, rows of B, G, R bytes.

    python stills.py        (made with Pillow 13.0.0, libjpeg-turbo 3.2.0)
"""

import pathlib

import numpy as np
from PIL import Image, ImageOps

WIDTH, HEIGHT = 37, 23  # odd, and no multiple of a JPEG block
OUT = pathlib.Path(__file__).parent / "stills"


def picture():
    """Smooth, with a sharp red corner: chroma subsampling shows there."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x + y) * 4 % 256], axis=2).astype(np.uint8)
    rgb[:9, :11] = (250, 10, 20)
    return Image.fromarray(rgb)


def alpha():
    return Image.fromarray((np.arange(WIDTH * HEIGHT).reshape(HEIGHT, WIDTH) % 256).astype(np.uint8))


def save(name, image, **options):
    path = OUT / name
    image.save(path, **options)
    read = ImageOps.exif_transpose(Image.open(path))
    if read.mode.startswith("I"):  # 16 bits: the upper 8
        grey = (np.asarray(read).astype(np.uint32) >> 8).astype(np.uint8)
        read = Image.fromarray(grey)
    rgb = np.asarray(read.convert("RGBA").convert("RGB"))  # alpha dropped, not blended
    (OUT / (name + ".bgr")).write_bytes(rgb[:, :, ::-1].tobytes())


def main():
    OUT.mkdir(exist_ok=True)
    rgb = picture()
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn clockwise
    save("420.jpg", rgb, quality=85)
    save("444.jpg", rgb, quality=95, subsampling=0)
    save("progressive.jpg", rgb, quality=85, progressive=True)
    save("grey.jpg", rgb.convert("L"), quality=85)
    save("turned.jpg", rgb, quality=85, exif=turned)
    save("rgb.bmp", rgb)
    save("rgb.png", rgb)
    with_alpha = rgb.copy()
    with_alpha.putalpha(alpha())
    save("rgba.png", with_alpha)
    save("grey.png", rgb.convert("L"))
    save("grey-alpha.png", with_alpha.convert("LA"))
    save("grey16.png", Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257 - 100))
    save("bits1.png", rgb.convert("1"))
    save("palette.png", rgb.quantize(17))
    save("palette-alpha.png", with_alpha.quantize(17))


main()
