"""`ungrid upscale` and `ungrid train liif`."""

import os

import numpy as np
import pytest
from PIL import Image

from ungrid.cli.train import HELD_OUT
from ungrid.io import load_model
from ungrid.upscale import bicubic, load, mean_psnr, read_photograph, read_picture


def test_a_picture(ungrid, picture, tmp_path):
    page = tmp_path / "page.html"
    done = ungrid("upscale", picture, "-s", "3.7", "-o", tmp_path / "big.png", "--report", page, "--json")
    assert done.code == 0
    assert done.object["shapes"] == [[118, 148]]
    assert done.object["outputs"] == [str(tmp_path / "big.png"), str(page)]
    small = np.asarray(Image.open(picture))
    big = np.asarray(Image.open(tmp_path / "big.png"))
    assert np.array_equal(big, load("light").enlarge(small.astype(np.float32) / 255, 3.7, dtype=np.uint8))
    assert "bicubic" in page.read_text()


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        (("-s", "2x1.5"), (80, 48)),
        (("--size", "100x50"), (100, 50)),
        (("--size", "100"), (100, 80)),
        (("-s", "0.5"), (20, 16)),
        (("-s", "1.5", "--average"), (60, 48)),
    ],
)
def test_sizes(ungrid, picture, tmp_path, flags, size):
    assert ungrid("upscale", picture, *flags, "-o", tmp_path / "b.png").code == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == size


def test_spoilt_pictures_get_their_own_weights(ungrid, picture, tmp_path):
    with Image.open(picture) as image:
        image.save(tmp_path / "a.jpg", quality=60)
    found = {}
    for name, words in {"auto": (), "on": ("--denoise", "on"), "off": ("--denoise", "off")}.items():
        done = ungrid("upscale", tmp_path / "a.jpg", "-s", "2", "-o", tmp_path / f"{name}.png", *words, "--json")
        assert done.code == 0
        found[name] = done.object["model"]["name"]
        assert ("quality 60" in done.err) == (name == "auto")
    assert found == {"auto": "denoise", "on": "denoise", "off": "light"}
    assert ungrid("upscale", picture, "-s", "2", "-o", tmp_path / "b.png", "--denoise", "often").code == 2


def test_a_folder_with_a_damaged_picture(ungrid, picture, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    content = picture.read_bytes()
    (source / "a.png").write_bytes(content)
    (source / "deep" / "b.png").write_bytes(content)
    (source / "c.png").write_bytes(content[:100])
    done = ungrid("upscale", source, "-s", "2", "-o", target, "--json")
    assert done.code == 1
    assert list(done.object["failures"]) == [str(source / "c.png")]
    assert sorted(str(p.relative_to(target)) for p in target.rglob("*.png")) == ["a.png", "deep/b.png"]
    (source / "c.png").write_bytes(content)
    before = os.stat(target / "a.png").st_mtime_ns
    again = ungrid("upscale", source, "-s", "2", "-o", target, "--resume", "--json")
    assert again.code == 0
    assert again.object["outputs"] == [str(target / "c.png")]
    assert os.stat(target / "a.png").st_mtime_ns == before


def test_the_plan_does_nothing(ungrid, picture, tmp_path):
    done = ungrid("upscale", picture, "-s", "4", "-o", tmp_path / "b.png", "--plan", "--json")
    assert done.object["plan"]["shape"] == [128, 160]
    assert not (tmp_path / "b.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-s", "0"), "a number above 0"),
        (("-s", "-2"), "a number above 0"),
        (("-s", "nan"), "a number above 0"),
        (("-s", "big"), "a number above 0"),
        (("--size", "0x10"), "1920x1080"),
        ((), "one of --scale and --size"),
        (("-s", "2", "--size", "10"), "one of --scale and --size"),
        (("-s", "20000"), "GB"),
        (("-s", "2", "--model", "heavy"), "light"),
    ],
)
def test_wrong_input(ungrid, picture, tmp_path, words, message):
    done = ungrid("upscale", picture, *words, "-o", tmp_path / "b.png")
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "b.png").exists()


def test_wrong_targets(ungrid, picture, tmp_path):
    for source, target in ((picture, picture), (picture, tmp_path / "b.gif"), (picture, tmp_path / "none" / "b.png")):
        assert ungrid("upscale", source, "-s", "2", "-o", target).code == 2
    assert ungrid("upscale", picture, "-s", "600", "-o", tmp_path / "b.webp").code == 2
    assert ungrid("upscale", tmp_path / "none.png", "-s", "2", "-o", tmp_path / "b.png").code == 2
    (tmp_path / "empty").mkdir()
    assert ungrid("upscale", tmp_path / "empty", "-s", "2", "-o", tmp_path / "out").code == 2
    assert ungrid("upscale", tmp_path, "-s", "2", "-o", tmp_path).code == 2


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    y, x = np.mgrid[:130, :140]
    for k in range(6):
        wave = np.sin(y * (0.2 + 0.1 * k) + x * (0.9 - 0.12 * k))
        Image.fromarray(np.rint(127 + 120 * np.stack([wave, -wave, wave**2], -1)).astype(np.uint8)).save(
            folder / f"{k}.png"
        )
    return folder


def test_evaluation(ungrid, pictures, tmp_path):
    done = ungrid(
        "evaluate", "light", "--against", pictures, "--scales", "2,3.5", "--json", "--report", tmp_path / "a.html"
    )
    assert done.code == 0
    stored = [np.asarray(Image.open(file).convert("RGB")) for file in sorted(pictures.iterdir())]
    assert done.object["metrics"]["x2"]["bicubic_db"] == pytest.approx(mean_psnr(bicubic, stored, 2))
    light = load("light")
    wanted = mean_psnr(lambda low, shape: light.enlarge(low, shape=shape), stored, 3.5)
    assert done.object["metrics"]["x3.5"]["psnr_db"] == pytest.approx(wanted)
    assert "bicubic" in (tmp_path / "a.html").read_text()
    for words in (("light",), ("light", "--against", tmp_path / "none"), ("heavy", "--against", pictures)):
        assert ungrid("evaluate", *words).code == 2
    assert ungrid("evaluate", "light", "--against", pictures, "--protocol", "mine").code == 2


def test_training(ungrid, pictures, tmp_path):
    words = ("train", "liif", pictures, "-o", tmp_path / "a.model", "--batch", "2", "--side", "12", "--steps", "6")
    done = ungrid(*words, "--json")
    assert done.code == 0
    assert done.object["steps"] == 6
    assert done.object["metrics"]["x2_bicubic_db"] > 10
    card = load_model(tmp_path / "a.model")[1]
    assert card["data"] == ["pictures"]
    assert (card["pictures"], card["held_out"]) == (5, 1)
    assert load(tmp_path / "a.model").enlarge(np.zeros((4, 5, 3)), 2).shape == (8, 10, 3)
    assert not (tmp_path / "a.checkpoint").exists()
    started = ungrid(*words[:4], tmp_path / "b.model", *words[5:], "--init", tmp_path / "a.model", "--json")
    assert load_model(tmp_path / "b.model")[1]["init"] == "a.model"
    assert started.code == 0


def test_training_of_the_papers_networks(ungrid, pictures, tmp_path):
    kinds = {"edsr-liif": ("--without", "cell"), "edsr-metasr": (), "edsr-subpixel": ("--scale", "2")}
    for name, more in kinds.items():
        words = ("--batch", "1", "--side", "8", "--steps", "1", "--queries", "5", "--network", name, *more)
        assert ungrid("train", "liif", pictures, "-o", tmp_path / f"{name}.model", *words).code == 0
        assert load_model(tmp_path / f"{name}.model")[1]["network"] == name


def test_training_by_time_goes_on(ungrid, pictures, tmp_path):
    words = ("train", "liif", pictures, "-o", tmp_path / "a.model", "--batch", "1", "--side", "8")
    first = ungrid(*words, "--budget", "0.5", "--steps", "1000000", "--json")
    assert first.object["outcome"] == "budget"
    again = ungrid(*words, "--budget", "0.5", "--resume", "--json")
    assert again.object["steps"] > first.object["steps"]
    assert load_model(tmp_path / "a.model")[1]["of_steps"] == 1000000


def test_training_of_clips(ungrid, pictures, tmp_path):
    frames = tmp_path / "clips" / "a"
    frames.mkdir(parents=True)
    still = np.asarray(Image.open(sorted(pictures.iterdir())[0]))
    for k in range(12):
        Image.fromarray(still[:100, 2 * k : 2 * k + 110]).save(frames / f"{k:02}.png")
    words = ("train", "videoinr", pictures, tmp_path / "clips", "--batch", "1", "--side", "24", "--steps", "2")
    done = ungrid(*words, "-o", tmp_path / "v.model", "--json")
    assert done.code == 0
    network, card = load_model(tmp_path / "v.model")
    assert (type(network).__name__, card["clips"], card["pictures"]) == ("LightVideo", ["a"], 6)
    shipped = load("light").network.state_dict()
    assert all(np.array_equal(v, shipped[k]) for k, v in network.image.state_dict().items())
    assert ungrid(*words, "-o", tmp_path / "w.model", "--init", tmp_path / "v.model").code == 0
    assert ungrid(*words, "-o", tmp_path / "w.model", "--spoil").code == 2


def test_what_training_refuses(ungrid, pictures, tmp_path):
    for words in (
        ("train", "splats", pictures, "-o", tmp_path / "a.model"),
        ("train", "liif", tmp_path / "none", "-o", tmp_path / "a.model"),
        ("train", "liif", pictures, "-o", tmp_path / "a.field"),
        ("train", "liif", pictures, "-o", tmp_path / "a.model", "--network", "vdsr"),
        ("train", "liif", pictures, "-o", tmp_path / "a.model", "--without", "cell"),
        ("train", "liif", pictures, "-o", tmp_path / "a.model", "--scale", "2"),
        ("train", "liif", pictures, "-o", tmp_path / "a.model", "--network", "edsr-subpixel"),
        ("train", "liif", pictures, "-o", tmp_path / "a.model", "--network", "edsr-subpixel", "--scale", "7"),
    ):
        assert ungrid(*words).code == 2


def test_damaged_held_out_pictures_are_noticed_before_the_training(ungrid, pictures, tmp_path, monkeypatch):
    held = sorted(pictures.iterdir())[HELD_OUT // 2]
    held.write_bytes(held.read_bytes()[:200])
    monkeypatch.setattr("ungrid.upscale.Training", None)  # is not come to
    words = ("train", "liif", pictures, "-o", tmp_path / "a.model", "--batch", "1", "--side", "8", "--steps", "1")
    done = ungrid(*words, "--json")
    assert done.code == 2
    assert held.name in done.object["error"]
    assert "a learning rate of -1" in ungrid(*words, "--lr", "-1", "--json").object["error"]


def test_what_the_result_cannot_hold_is_refused_by_the_plan(ungrid, tmp_path):
    Image.fromarray(np.full((20, 20, 4), 99, np.uint8)).save(tmp_path / "a.png")
    refused = ungrid("upscale", tmp_path / "a.png", "-s", "2", "-o", tmp_path / "b.jpg", "--plan", "--json")
    assert refused.code == 2
    assert "4 channels in a .jpg file" in refused.object["error"]
    inside = ungrid("upscale", tmp_path, "-s", "2", "-o", tmp_path / "larger", "--json")
    assert "inside of its source" in inside.object["error"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_cmyk_photographs_are_turned_as_others(tmp_path, orientation):
    values = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)
    tag = Image.Exif()
    tag[274] = orientation
    for mode in ("RGB", "CMYK"):
        Image.fromarray(values).convert(mode).save(tmp_path / f"{mode}.jpg", exif=tag, quality=100, subsampling=0)
    plain, other = (read_photograph(tmp_path / f"{mode}.jpg").colours for mode in ("RGB", "CMYK"))
    assert np.abs(plain - other).mean() < 0.02


def test_sixteen_bits_of_grey_are_not_cut_off(tmp_path):
    values = np.linspace(0, 65535, 96).reshape(8, 12).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png")[..., 1], np.rint(values / 257))
