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
import compare  # noqa: E402
import distil  # noqa: E402
import train  # noqa: E402
import transfer  # noqa: E402
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


def test_every_kind_is_compared(folder, tmp_path):
    arguments = ["--train", str(folder), "--test", str(folder), "--out", str(tmp_path), "--input", "32", "--width", "0.125", "--hidden", "16",
                 "--pool", "1", "--batch", "16", "--batch-norm", "--epochs", "3", "--seeds", "2", "--threads", "1", "--kinds", "none,scse"]
    compare.main(arguments)
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["none", "scse"] and all(r["seeds"] == 2 and r["top1"]["half"] is not None for r in results.values())
    assert results["scse"]["parameters"] > results["none"]["parameters"]
    assert len((tmp_path / "table.md").read_text().splitlines()) == 4
    assert (tmp_path / "compare.png").stat().st_size > 10_000 and "scse" in (tmp_path / "compare.html").read_text()
    before = (tmp_path / "none-1/network.pth").stat().st_mtime_ns
    compare.main(arguments)  # goes on where it was: nothing is left to learn
    assert (tmp_path / "none-1/network.pth").stat().st_mtime_ns == before


def test_epochs_to_an_accuracy_by_hand():
    curve = {"1": 0.2, "2": 0.6, "3": 0.8}
    assert compare.epochs_to(curve, 0.4) == 1.5 and compare.epochs_to(curve, 0.1) == 0.5 and compare.epochs_to(curve, 0.9) is None
    assert compare.spread([1.0, 2.0, 3.0]) == {"mean": 2.0, "half": pytest.approx(4.303 / 3**0.5)}


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """Four classes of one colour each: what a network that knows two of them soon learns of the others."""
    root, rng = tmp_path_factory.mktemp("four") / "pictures", np.random.default_rng(2)
    for label, colour in (("a", (200, 40, 40)), ("b", (40, 200, 40)), ("c", (40, 40, 200)), ("d", (200, 200, 40))):
        (root / label).mkdir(parents=True)
        for i in range(16):
            pixels = rng.integers(0, 40, (60, 90, 3)) + colour
            Image.fromarray(pixels.astype(np.uint8)).save(root / label / f"{i}.png")
    return root


def test_new_classes_are_learned_from_a_few_pictures(four, tmp_path):
    transfer.main(["--train", str(four), "--test", str(four), "--out", str(tmp_path), "--input", "32", "--width", "0.125", "--hidden", "16",
                   "--pool", "1", "--dropout", "0", "--batch", "8", "--batch-norm", "--threads", "1", "--epochs", "4", "--seeds", "2",
                   "--few", "4,8", "--steps", "60"])
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results) == ["none", "se"] and all(len(r["8"]) == 2 for r in results.values())
    assert sum(results["se"]["8"] + results["none"]["8"]) / 4 > 0.7
    assert len((tmp_path / "table.md").read_text().splitlines()) == 4


def test_a_narrow_student_learns_from_its_teacher_and_then_in_8_bits(folder, tmp_path):
    train.main(arguments(folder, tmp_path / "teacher"))
    common = ["--teacher", str(tmp_path / "teacher/network.pth"), "--train", str(folder), "--test", str(folder), "--input", "32",
              "--hidden", "16", "--pool", "1", "--dropout", "0", "--batch", "16", "--threads", "1"]
    distil.main([*common, "--out", str(tmp_path / "small"), "--width", "0.0625", "--batch-norm", "--epochs", "20"])
    m = json.loads((tmp_path / "small/metrics.json").read_text())
    assert m["top1"] > 0.9 and m["teacher_top1"] > 0.9 and m["parameters"] < count(from_weights(torch.load(tmp_path / "teacher/network.pth")))
    distil.main([*common, "--out", str(tmp_path / "int8"), "--student", str(tmp_path / "small/network.pth"), "--int8", "--epochs", "1", "--rate", "0.1"])
    m, scales = (json.loads((tmp_path / "int8" / f).read_text()) for f in ("metrics.json", "scales.json"))
    assert "lost_in_8_bits" in m and m["top1"] > 0.9
    assert {"features/1", "features/4", "features/4/gate", "classifier/4"} <= scales.keys() and min(scales.values()) > 0
    assert torch.load(tmp_path / "int8/network.pth").keys() == torch.load(tmp_path / "small/network.pth").keys()
