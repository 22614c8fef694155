"""The recipe on toy data, in seconds: python -m pytest train"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).parent))
import train  # noqa: E402
from data import Pictures, shorter_side  # noqa: E402
from evaluate import metrics_of  # noqa: E402
from attention import ATTENTION  # noqa: E402
from vgg16se import VGG16SE, fold_norms, from_weights, insert_se  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes that a small network tells apart at once: bright discs and dark squares."""
    root, rng = tmp_path_factory.mktemp("toy") / "pictures", np.random.default_rng(1)
    for label, level in (("dark", 40), ("light", 210)):
        (root / label).mkdir(parents=True)
        for i in range(32):
            pixels = rng.integers(0, 40, (60, 90, 3)) + level
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{i}.png")
    return root


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_parameters_of_the_article():
    with torch.device("meta"):
        se, plain = VGG16SE(), VGG16SE(attention="none")
    assert count(se) == 138_433_832
    assert count(se) - count(plain) == 76_288
    assert [count(g) for g in se.gates()] == [512, 2048, 8192, 32768, 32768]


def test_names_of_the_state_dict():
    names = VGG16SE(classes=2, width=0.125, hidden=8, pool=1).state_dict()
    for name in ("features.0.weight", "features.4.fc.0.weight", "features.4.fc.2.weight", "features.6.bias",
                 "classifier.0.weight", "classifier.3.bias", "classifier.6.weight"):
        assert name in names
    assert names["features.4.fc.0.weight"].shape == (1, 8)


@pytest.mark.parametrize("attention", ATTENTION)
def test_inserted_gates_change_nothing(attention):
    torch.manual_seed(1)
    sizes = dict(classes=3, width=0.125, hidden=16, pool=1)
    plain, se = VGG16SE(**sizes, attention="none").eval(), VGG16SE(**sizes, attention=attention).eval()
    insert_se(plain, se)
    x = torch.randn(4, 3, 32, 32)
    a, b = plain(x), se(x)
    assert (a - b).abs().max() < 0.05 * a.abs().max()


@pytest.mark.parametrize("attention", [*ATTENTION, "none"])
def test_a_state_dict_tells_its_network(attention):
    network = VGG16SE(classes=3, width=0.125, hidden=(16, 8), pool=1, attention=attention, squeezed=[1, 2, 3, 4, 5]).eval()
    again = from_weights(network.state_dict())
    x = torch.randn(2, 3, 32, 32)
    assert torch.equal(network(x), again(x))


def test_folded_norms_change_nothing():
    torch.manual_seed(1)
    sizes = dict(classes=3, width=0.125, hidden=16, pool=1)
    normed, bare = VGG16SE(**sizes, norm=True), VGG16SE(**sizes).eval()
    for _ in range(3):
        normed(torch.randn(8, 3, 32, 32) * 2 + 1)  # moves the running statistics
    normed.eval()
    fold_norms(normed, bare)
    x = torch.randn(4, 3, 32, 32)
    a, b = normed(x), bare(x)
    assert (a - b).abs().max() < 1e-4 * a.abs().max()


def test_pictures_are_prepared_as_torchvision_does(folder):
    pictures = Pictures(folder, 32)
    reference = transforms.Compose([
        transforms.Resize(shorter_side(32)), transforms.CenterCrop(32), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    for row in (0, 40):
        want = reference(Image.open(pictures.paths[row]))
        assert (pictures.centre([row])[0] - want).abs().max() < 1e-5


def test_metrics_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 0.01], [3.0, 0.0]])
    m = metrics_of(logits, np.array([0, 1, 1]), ["a", "b"])
    assert m["top1"] == round(2 / 3, 5) and m["confusion"] == [[1, 0], [1, 1]]
    assert m["margin_below_0.1"] == round(1 / 3, 5)


def arguments(folder, out, *more):
    return ["--train", str(folder), "--test", str(folder), "--out", str(out), "--input", "32", "--width", "0.125",
            "--hidden", "16", "--pool", "1", "--dropout", "0", "--batch", "16", "--plain-epochs", "6",
            "--gate-epochs", "1", "--late-epochs", "1", "--all-epochs", "4", "--threads", "1", *more]


def test_the_recipe_learns_and_writes_what_it_promises(folder, tmp_path):
    train.main(arguments(folder, tmp_path))
    m = json.loads((tmp_path / "metrics.json").read_text())
    assert m["top1"] > 0.9 and m["architecture"] == "vgg16se"
    a, b = torch.load(tmp_path / "network.pth"), load_file(tmp_path / "network.safetensors")
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    assert (tmp_path / "labels.txt").read_text() == "dark\nlight\n"


def test_an_interrupted_run_ends_as_an_uninterrupted_one(folder, tmp_path, monkeypatch):
    train.main(arguments(folder, tmp_path / "whole"))
    ended = train.save

    def interrupt(a, network, stage, step, optimizer):
        ended(a, network, stage, step, optimizer)
        if stage == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train.main(arguments(folder, tmp_path / "halves"))
    monkeypatch.undo()
    train.main(arguments(folder, tmp_path / "halves"))
    whole, halves = (load_file(tmp_path / d / "network.safetensors") for d in ("whole", "halves"))
    assert all(torch.allclose(whole[k], halves[k], atol=1e-6) for k in whole)


def test_frozen_stages_do_not_move(folder, tmp_path):
    train.main(arguments(folder, tmp_path, "--plain-epochs", "1", "--late-epochs", "0", "--all-epochs", "0"))
    plain, after = torch.load(tmp_path / "plain.pth"), torch.load(tmp_path / "network.pth")
    assert torch.equal(plain["features.0.weight"], after["features.0.weight"])
    assert not torch.equal(plain["classifier.6.weight"], after["classifier.6.weight"])
