"""Networks that enlarge pictures, by name or from files, and what one calls to enlarge with them."""

import os
from collections.abc import Callable, Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ungrid._base.errors import InputError
from ungrid.domains import Box
from ungrid.fields import LatentField, VideoField
from ungrid.io import load_model
from ungrid.io.files import decoding, existing_file
from ungrid.networks import EDSR, LIIF, RDN, ContinuousNetwork, LightVideo, MetaSR
from ungrid.upscale.between import frame_at, paired, seen
from ungrid.upscale.tiles import enlarge, fractions

SHIPPED = ("light", "denoise")
SHIPPED_VIDEO = "video"
PUBLISHED = (".pth", ".pt")  # the container in which LIIF's authors published their weights
LARGEST = 1 << 26  # pixels of a picture whose latents a field holds

Encoder = EDSR | RDN


class Upscaler:
    """A trained network: called with a picture it gives the continuous one.

    Attributes:
        network: in evaluation mode.
        name: of the model.
        card: how it came about.
    """

    def __init__(self, network: ContinuousNetwork, name: str, card: dict[str, Any]) -> None:
        self.network = network.eval()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster convolutions on a CPU
        self.name, self.card = name, card

    def to(self, device: torch.device | str) -> "Upscaler":
        """The same on another device."""
        return Upscaler(self.network.to(device), self.name, self.card)

    def __call__(self, picture: np.ndarray, box: Box | None = None) -> LatentField:
        """The field of a picture (h, w, 3) in [0, 1].

        Raises:
            InputError: if it has another shape, or so many pixels that their latents do not fit; `enlarge` takes any size.
        """
        checked = _checked(picture)
        if checked.shape[0] * checked.shape[1] > LARGEST:
            raise InputError(f"a picture of shape {picture.shape}", f"at most {LARGEST} pixels", "use enlarge")
        return LatentField.encode(self.network, checked, box)

    def enlarge(
        self,
        picture: np.ndarray,
        scale: float | tuple[float, float] | None = None,
        *,
        shape: tuple[int, int] | None = None,
        bfloat16: bool = False,
        average: bool = False,
        dtype: type[np.generic] = np.float32,
        report: Callable[[float], None] | None = None,
    ) -> np.ndarray:
        """The picture with more pixels, or fewer.

        Args:
            picture: (h, w, 3) in [0, 1], or uint8, or uint16.
            scale: output pixels per pixel, or (down, across).
            shape: rows and columns of the result, in place of the scale.
            bfloat16: run the network's products in 16 bits.
            average: over the eight orientations: eight times the work, about 0.1 dB.
            dtype: float32 in [0, 1], uint8 or uint16 of the result.
            report: called with the share that is done.

        Returns:
            (rows, columns, 3).

        Raises:
            InputError: if the picture or the scale cannot be used.
        """
        checked = _checked(picture)
        target = target_shape(checked.shape[:2], scale, shape)
        return enlarge(
            self.network, checked, target, bfloat16=bfloat16, average=average, dtype=dtype, report=report
        )  # fmt: skip


class VideoUpscaler:
    """A trained network of clips: called with two frames it gives what lies between them.

    Attributes:
        network: in evaluation mode.
        name: of the model.
        card: how it came about.
    """

    def __init__(self, network: LightVideo, name: str, card: dict[str, Any]) -> None:
        self.network = network.eval()
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name, self.card = name, card

    def to(self, device: torch.device | str) -> "VideoUpscaler":
        """The same on another device."""
        return VideoUpscaler(self.network.to(device), self.name, self.card)

    def __call__(self, first: np.ndarray, second: np.ndarray, box: Box | None = None) -> VideoField:
        """The field of two frames (h, w, 3) in [0, 1], uint8 or uint16.

        Raises:
            InputError: if they have other shapes, or so many pixels that their latents do not fit; `between` takes any size.
        """
        frames = _pair(first, second)
        if frames[0].shape[0] * frames[0].shape[1] > LARGEST:
            raise InputError(f"frames of shape {first.shape}", f"at most {LARGEST} pixels", "use between")
        return VideoField.encode(self.network, fractions(frames[0]), fractions(frames[1]), box)

    def between(
        self,
        first: np.ndarray,
        second: np.ndarray,
        times: Sequence[float],
        scale: float | tuple[float, float] | None = None,
        *,
        shape: tuple[int, int] | None = None,
        bfloat16: bool = False,
        dtype: type[np.generic] = np.float32,
    ) -> np.ndarray:
        """The frames at some times between two others.

        Args:
            first: (h, w, 3) in [0, 1], or uint8, or uint16, at time 0.
            second: likewise, at time 1.
            times: in [0, 1].
            scale: output pixels per pixel, or (down, across).
            shape: rows and columns of the result, in place of the scale.
            bfloat16: run the network's products in 16 bits.
            dtype: float32 in [0, 1], uint8 or uint16 of the result.

        Returns:
            (times, rows, columns, 3).

        Raises:
            InputError: if frames, times or scale cannot be used.
        """
        if not all(0 <= time <= 1 for time in times):
            raise InputError(f"times {list(times)}", "numbers in [0, 1], between the frames")
        frames = _pair(first, second)
        target = target_shape(frames[0].shape[:2], scale, shape)
        pair = paired(*(seen(self.network, frame, bfloat16=bfloat16) for frame in frames))
        return np.stack([frame_at(self.network, pair, time, target, bfloat16=bfloat16, dtype=dtype) for time in times])


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if first.shape != second.shape:
        raise InputError(f"frames of shapes {first.shape} and {second.shape}", "one shape")
    return _checked(first), _checked(second)


def target_shape(
    size: tuple[int, ...], scale: float | tuple[float, float] | None, shape: tuple[int, int] | None
) -> tuple[int, int]:
    """Rows and columns of the enlargement of a picture of a size.

    Raises:
        InputError: if both or neither of scale and shape are given, or one is not positive or not finite.
    """
    if (scale is None) == (shape is None):
        raise InputError(f"scale {scale} and shape {shape}", "one of the two")
    if shape is not None:
        if min(shape) < 1:
            raise InputError(f"the shape {shape}", "two sizes of 1 and more")
        return shape
    scales = np.broadcast_to(np.asarray(scale, dtype=np.float64), 2)
    if not (np.isfinite(scales).all() and (scales > 0).all()):
        raise InputError(f"the scale {scale}", "a number above 0")
    rows, columns = (max(1, round(n * s)) for n, s in zip(size, scales, strict=True))
    return rows, columns


def _checked(picture: np.ndarray) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape) < 1:
        raise InputError(f"a picture of shape {picture.shape}", "(rows, columns, 3)")
    if picture.dtype in (np.uint8, np.uint16):
        return picture
    if not np.isfinite(picture).all():
        raise InputError("a picture with NaN or infinite values", "finite values in [0, 1]")
    return picture.astype(np.float32, copy=False)


def load(name: str | os.PathLike[str] = "light") -> Upscaler:
    """A model by name, from a ``.model`` file, or from a ``.pth`` file as LIIF's authors publish them.

    Args:
        name: ``"light"`` or ``"denoise"``, the models that come with the package, for clean pictures and for those with
            noise or the blocks of JPEG; or a path.

    Raises:
        InputError: if there is no such model, or the file is none, damaged, or of another kind of network.
    """
    if str(name) in SHIPPED:
        network, card = _shipped(str(name))
        return Upscaler(cast(ContinuousNetwork, network), str(name), card)
    path = Path(name)
    if not path.suffix and not path.exists():
        raise InputError(f"the model {str(name)!r}", f"{', '.join(SHIPPED)}, or a file .model or .pth")
    source = existing_file(path)
    if source.suffix in PUBLISHED:
        return Upscaler(published(source), source.stem, {"source": source.name})
    network, card = load_model(source)
    if not isinstance(network, ContinuousNetwork):
        raise InputError(f"{source} holds a {type(network).__name__}", "a network that enlarges pictures")
    return Upscaler(network, source.stem, card)


def load_video(name: str | os.PathLike[str] = SHIPPED_VIDEO) -> VideoUpscaler:
    """A model of clips by name, or from a ``.model`` file.

    Args:
        name: ``"video"``, which comes with the package; or a path.

    Raises:
        InputError: if there is no such model, or the file is none, damaged, or of another kind of network.
    """
    if str(name) == SHIPPED_VIDEO:
        network, card = _shipped(SHIPPED_VIDEO)
    else:
        network, card = load_model(existing_file(name))
    if not isinstance(network, LightVideo):
        raise InputError(f"{name} holds a {type(network).__name__}", "a network of clips")
    return VideoUpscaler(network, Path(name).stem, card)


def _shipped(name: str) -> tuple[torch.nn.Module, dict[str, Any]]:
    with as_file(files("ungrid.upscale").joinpath("models", f"{name}.model")) as path:
        return load_model(path)


def published(path: Path) -> ContinuousNetwork:
    """LIIF or MetaSR with the weights of a published container: ``{"model": {"name", "args", "sd"}}``.

    Nothing in the file is executed.

    Raises:
        InputError: if it is another container, names another network, or its weights do not fit.
    """
    with decoding(path, "published weights"):
        content = torch.load(path, map_location="cpu", weights_only=True)
        given = content["model"] if isinstance(content, dict) and "model" in content else None
        if not isinstance(given, dict) or not {"name", "args", "sd"} <= given.keys():
            raise InputError(f"{path} without model.name, model.args and model.sd", "a container of LIIF's authors")
        network = _network(str(given["name"]), given["args"])
        own, found = network.state_dict(), given["sd"]
        wrong = sorted(
            k for k in own.keys() | found.keys() if k not in own or k not in found or own[k].shape != found[k].shape
        )
        if wrong:
            raise InputError(f"{path} whose weights {wrong[0]!r} do not fit", f"those of {given['name']}")
        network.load_state_dict(found)
    return network


def _network(name: str, arguments: dict[str, Any]) -> ContinuousNetwork:
    if name not in ("liif", "metasr"):
        raise InputError(f"weights of the network {name!r}", "liif or metasr")
    encoder = _encoder(arguments["encoder_spec"])
    if name == "metasr":
        return MetaSR(encoder)
    hidden = arguments["imnet_spec"]["args"]["hidden_list"]
    if len(set(hidden)) != 1:
        raise InputError(f"hidden layers {hidden}", "layers of one width")
    flags = {k: bool(arguments.get(k, True)) for k in ("local_ensemble", "feat_unfold", "cell_decode")}
    return LIIF(encoder, hidden=hidden[0], depth=len(hidden), **flags)


def _encoder(spec: dict[str, Any]) -> Encoder:
    name, given = spec["name"], spec.get("args", {})
    if name == "edsr-baseline":
        return EDSR(blocks=given.get("n_resblocks", 16), features=given.get("n_feats", 64))
    if name == "rdn":
        blocks, layers, growth = {"A": (20, 6, 32), "B": (16, 8, 64)}[given.get("RDNconfig", "B")]
        return RDN(blocks=blocks, layers=layers, growth=growth, features=given.get("G0", 64))
    raise InputError(f"the encoder {name!r}", "edsr-baseline or rdn")
