"""Models by name and from files, and what they refuse."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ungrid._base.errors import InputError
from ungrid.fields import LatentField
from ungrid.io import save_model
from ungrid.networks import EDSR, LIIF, MLP, RDN, ContinuousNetwork, LightNetwork, MetaSR
from ungrid.upscale import Upscaler, benchmark_psnr, bicubic, load, mean_psnr, pair


def container(network: ContinuousNetwork, path: Path, **arguments: object) -> Path:
    """The network's weights as LIIF's authors publish theirs."""
    encoder = network.encoder
    if isinstance(encoder, EDSR):
        spec = {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": encoder.blocks, "n_feats": 8}}
    else:
        spec = {"name": "rdn", "args": {"no_upsampling": True}}
    perceptron = {"name": "mlp", "args": {"out_dim": 3, "hidden_list": [16, 16, 16, 16]}}
    name = "liif" if isinstance(network, LIIF) else "metasr"
    given = {"encoder_spec": spec, "imnet_spec": perceptron, **arguments}
    torch.save({"model": {"name": name, "args": given, "sd": network.state_dict()}, "epoch": 1000}, path)
    return path


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((9, 11, 3)).astype(np.float32)


def small(seed: int = 1) -> EDSR:
    return EDSR(blocks=2, features=8, seed=seed)


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        (lambda: LIIF(small(), hidden=16, seed=4), {}),
        (lambda: LIIF(small(), hidden=16, cell_decode=False, seed=4), {"cell_decode": False}),
        (lambda: MetaSR(small(), seed=4), {}),
    ],
)
def test_published_containers(network, arguments, tmp_path: Path) -> None:
    path = container(network(), tmp_path / "a.pth", **arguments)
    found = load(path).enlarge(picture(), 2.5)
    assert np.array_equal(found, Upscaler(network(), "same", {}).enlarge(picture(), 2.5))
    assert not np.array_equal(found, Upscaler(type(network())(small(2)), "other", {}).enlarge(picture(), 2.5))


def test_a_published_rdn(tmp_path: Path) -> None:
    network = LIIF(RDN(seed=2), hidden=16, seed=4)
    loaded = load(container(network, tmp_path / "a.pth")).network
    same = zip(network.state_dict().values(), loaded.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)


def test_nothing_is_executed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "harm",))

    torch.save({"model": Harm()}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="published weights"):
        load(tmp_path / "a.pth")
    assert not (tmp_path / "harm").exists()


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="light"):
        load("heavy")
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "a.model")
    torch.save({"weights": 1}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"model\.name"):
        load(tmp_path / "a.pth")
    damaged = container(LIIF(small(), hidden=16), tmp_path / "b.pth")
    damaged.write_bytes(damaged.read_bytes()[:-200])
    with pytest.raises(InputError, match="published weights"):
        load(damaged)
    content = torch.load(container(LIIF(small(), hidden=16), tmp_path / "c.pth"), weights_only=True)
    content["model"]["name"] = "lte"
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(InputError, match="lte"):
        load(tmp_path / "c.pth")
    content["model"] |= {"name": "liif", "sd": {**content["model"]["sd"], "more": torch.zeros(1)}}
    torch.save(content, tmp_path / "c.pth")
    with pytest.raises(InputError, match="more"):
        load(tmp_path / "c.pth")
    save_model(MLP(2, 3, width=4, depth=1), tmp_path / "d.model")
    with pytest.raises(InputError, match="MLP"):
        load(tmp_path / "d.model")


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("spoil", ["jpeg", "noise"])
def test_the_model_for_spoilt_pictures_is_never_below_bicubic(spoil: str, scale: int) -> None:
    data = pytest.importorskip("skimage.data")
    model = load("denoise")
    for name, cut in (
        ("astronaut", np.s_[100:340, 150:400]),
        ("chelsea", np.s_[40:280, 80:360]),
        ("coffee", np.s_[80:320, 200:440]),
    ):
        low, truth = pair(getattr(data, name)()[cut], scale)
        if spoil == "jpeg":
            target = io.BytesIO()
            Image.fromarray(low).save(target, "JPEG", quality=75)
            with Image.open(target) as image:
                low = np.asarray(image)
        else:
            low = np.clip(np.rint(low + np.random.default_rng(0).normal(0, 6, low.shape)), 0, 255).astype(np.uint8)
        shape = (truth.shape[0], truth.shape[1])
        plain = bicubic(low.astype(np.float32) / 255, shape).clip(0, 1)
        ours = benchmark_psnr(model.enlarge(low, shape=shape), truth / 255, scale)
        assert ours > benchmark_psnr(plain, truth / 255, scale), name


@pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf"), (2.0, 0.0)])
def test_wrong_scales(scale) -> None:
    with pytest.raises(InputError, match="above 0"):
        Upscaler(LightNetwork(blocks=1, width=4, features=4), "a", {}).enlarge(picture(), scale)


def test_wrong_pictures() -> None:
    upscaler = Upscaler(LightNetwork(blocks=1, width=4, features=4), "a", {})
    for wrong in (picture()[..., 0], picture()[..., :2], picture()[:0], np.full((4, 4, 3), np.nan)):
        with pytest.raises(InputError):
            upscaler.enlarge(wrong, 2.0)
    for given in ({}, {"scale": 2.0, "shape": (3, 3)}, {"shape": (0, 4)}):
        with pytest.raises(InputError):
            upscaler.enlarge(picture(), **given)


def test_shapes() -> None:
    upscaler = Upscaler(LightNetwork(blocks=1, width=4, features=4), "a", {})
    assert upscaler.enlarge(picture(), 3.7).shape == (33, 41, 3)
    assert upscaler.enlarge(picture(), (2.0, 3.0)).shape == (18, 33, 3)
    assert upscaler.enlarge(picture(), shape=(5, 40)).shape == (5, 40, 3)
    assert upscaler.enlarge(picture(), 0.01).shape == (1, 1, 3)
    assert isinstance(upscaler(picture()), LatentField)


def test_at_the_start_shrinking_and_enlarging_are_bicubic() -> None:
    upscaler = Upscaler(LightNetwork(blocks=1, width=4, features=4), "a", {})
    np.testing.assert_allclose(upscaler.enlarge(picture(), 0.5), bicubic(picture(), (4, 6)).clip(0, 1), atol=1e-5)
    found = upscaler.enlarge(picture(), 3.0)
    np.testing.assert_allclose(found[6:-6, 6:-6], bicubic(picture(), (27, 33)).clip(0, 1)[6:-6, 6:-6], atol=1e-5)


def test_the_shipped_model_is_better_than_bicubic() -> None:
    """On photographs that scikit-image's wheel carries, at scales inside and beyond the training's."""
    data = pytest.importorskip("skimage.data")
    pictures = [data.astronaut()[100:340, 150:400], data.chelsea()[40:280, 80:360]]
    light = load("light")
    for scale, gain in ((2, 1.5), (3, 1.0), (4, 0.8), (6, 0.5), (2.7, 1.0)):
        ours = mean_psnr(lambda low, shape: light.enlarge(low, shape=shape), pictures, scale)
        assert ours > mean_psnr(bicubic, pictures, scale) + gain, scale
    assert light.card["data"]
