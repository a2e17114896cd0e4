"""Clips at any scale in space and time beside blending, the nearest frame and classical optical flow.

    python benchmarks/video.py city         # Vid4's clip `city`: fourfold in space, twofold in time
    python benchmarks/video.py middlebury   # triplets: the frame between two others, at their own size
    python benchmarks/video.py scales       # made clips with exact truth, beyond the scales of the training
    python benchmarks/video.py stream       # ten seconds of 480p, twice as large and twice as many frames, by the command

City: frames 001, 003 ... 017 shrunk to a quarter as MATLAB does are given; PSNR and SSIM of luminance of the unrounded result,
nothing cut off, of the frames between (002, 004 ... 016) and of all 17. The other three clips of Vid4, and the sets GoPro and
Adobe240 of VideoINR's tables, are not among the data at hand. Middlebury: eight triplets, PSNR of all colours. Made clips:
photographs that no model was trained on, in layers under homographies; the frames given are the exact ones shrunk.

Baselines: both frames blended by their times and enlarged by bicubic interpolation; the nearest frame enlarged by the light
model of pictures; both frames enlarged by it and led along the optical flow (TV-L1, Zach, Pock and Bischof 2007, of
scikit-image; both flows carried to the time as Baker et al. 2011 do). All write benchmarks/results/video.csv.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from record import DATA, write
from scipy.ndimage import distance_transform_edt, map_coordinates

from ungrid._base.devices import set_threads
from ungrid.metrics import ssim
from ungrid.upscale import bicubic, load, load_video, resized, shrunk
from ungrid.upscale.synthetic import drawn, random_layers

VIDEO = DATA / "video" / "test"
LUMINANCE = np.array([65.481, 128.553, 24.966]) / 255  # of fractions, as fractions: the benchmarks' BT.601
SCALES = ((6, 4), (6, 6), (6, 12), (12, 4), (12, 12), (16, 4), (16, 12), (4, 2), (4, 4))  # time x space
CLIPS, SMALL, SPEED = 4, 48, 8.0  # made clips; pixels of a small frame; small pixels from one given frame to the other
LARGE = (480, 854)

Between = Callable[[np.ndarray, np.ndarray, list[float], tuple[int, int]], list[np.ndarray]]
"""From two frames in [0, 1], times between them and the shape of the result to frames."""


def blended(first: np.ndarray, second: np.ndarray, times: list[float], shape: tuple[int, int]) -> list[np.ndarray]:
    ends = [bicubic(frame, shape) for frame in (first, second)]
    return [(1 - t) * ends[0] + t * ends[1] for t in times]


def large(frame: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return frame if frame.shape[:2] == shape else load("light").enlarge(frame, shape=shape)


def nearest(first: np.ndarray, second: np.ndarray, times: list[float], shape: tuple[int, int]) -> list[np.ndarray]:
    ends = [large(frame, shape) for frame in (first, second)]
    return [ends[int(t > 0.5)] for t in times]


def flowing(first: np.ndarray, second: np.ndarray, times: list[float], shape: tuple[int, int]) -> list[np.ndarray]:
    from skimage.registration import optical_flow_tvl1

    ends = [large(frame, shape).astype(np.float64) for frame in (first, second)]
    grey = [frame @ LUMINANCE for frame in ends]
    flows = optical_flow_tvl1(grey[0], grey[1]), optical_flow_tvl1(grey[1], grey[0])  # (y, x) from the one to the other
    return [led(ends, flows, t) for t in times]


def led(ends: list[np.ndarray], flows: tuple[np.ndarray, np.ndarray], t: float) -> np.ndarray:
    """The frame at a time: flows carried along themselves to the time, then both frames fetched along them."""
    if t in (0, 1):
        return ends[int(t)]
    motion = (carried(flows[0], t) - carried(flows[1], 1 - t)) / 2
    own = np.mgrid[: ends[0].shape[0], : ends[0].shape[1]]
    fetched = [
        np.stack([map_coordinates(end[..., c], own + way, order=1, mode="nearest") for c in range(3)], axis=-1)
        for end, way in zip(ends, (-t * motion, (1 - t) * motion), strict=True)
    ]
    return (1 - t) * fetched[0] + t * fetched[1]


def carried(flow: np.ndarray, share: float) -> np.ndarray:
    """A flow (2, h, w) at a share of its own way, holes filled from their nearest neighbours."""
    h, w = flow.shape[1:]
    place = np.mgrid[:h, :w] + share * flow
    total, weight = np.zeros_like(flow), np.zeros((h, w))
    below = np.floor(place).astype(int)
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = below[0] + dy, below[1] + dx
            inside = (y >= 0) & (y < h) & (x >= 0) & (x < w)
            part = ((1 - np.abs(place[0] - y)) * (1 - np.abs(place[1] - x)))[inside]
            np.add.at(weight, (y[inside], x[inside]), part)
            for c in range(2):
                np.add.at(total[c], (y[inside], x[inside]), part * flow[c][inside])
    found = total / np.maximum(weight, 1e-6)
    holes = weight < 1e-3
    if holes.any():
        y, x = distance_transform_edt(holes, return_distances=False, return_indices=True)
        found = found[:, y, x]
    return found


def ours(first: np.ndarray, second: np.ndarray, times: list[float], shape: tuple[int, int]) -> list[np.ndarray]:
    return list(load_video().between(first, second, times, shape=shape))


METHODS: dict[str, Between] = {
    "blending, bicubic": blended,
    "nearest frame, light": nearest,
    "optical flow, light": flowing,
    "ungrid": ours,
}


def psnr(found: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((found.astype(np.float64) - truth) ** 2)))


def city() -> list[dict[str, Any]]:
    files = sorted((VIDEO / "Vid4" / "city").glob("*.png"))[:17]
    truths = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    given = [shrunk(truth, 4).astype(np.float32) / 255 for truth in truths[::2]]
    rows = []
    for name, method in METHODS.items():
        found = [frame for k in range(8) for frame in method(given[k], given[k + 1], [0.0, 0.5], truths[0].shape[:2])]
        found += method(given[7], given[8], [1.0], truths[0].shape[:2])
        pairs = [(frame @ LUMINANCE, truth / 255 @ LUMINANCE) for frame, truth in zip(found, truths, strict=True)]
        for part, some in (("between", pairs[1::2]), ("given", pairs[::2]), ("all", pairs)):
            rows.append(
                {"part": "city", "method": name, "space": 4, "time": 2, "frames": part,
                 "psnr_db": round(np.mean([psnr(*one) for one in some]), 3),
                 "ssim": round(np.mean([ssim(*(x[..., None] for x in one)) for one in some]), 4)}
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def middlebury() -> list[dict[str, Any]]:
    rows = []
    names = sorted({file.name.split("_")[1] for file in (VIDEO / "middlebury").glob("*.png")})
    for name, method in METHODS.items():
        scores = []
        for scene in names:
            first, truth, second = (
                np.asarray(Image.open(VIDEO / "middlebury" / f"middlebury_{scene}_frame{k}.png").convert("RGB"),
                           dtype=np.float32) / 255 for k in ("10", "10i11", "11")
            )  # fmt: skip
            scores.append(psnr(method(first, second, [0.5], truth.shape[:2])[0].clip(0, 1), truth))
            rows.append({"part": "middlebury", "method": name, "space": 1, "time": 2, "frames": scene,
                         "psnr_db": round(scores[-1], 3)})  # fmt: skip
        rows.append({"part": "middlebury", "method": name, "space": 1, "time": 2, "frames": "mean",
                     "psnr_db": round(np.mean(scores), 3)})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def scales(show: Path | None = None) -> list[dict[str, Any]]:
    files = sorted((DATA / "signals" / "image" / "kodak").glob("*.png"))
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    rows = []
    for in_time, in_space in SCALES:
        side = SMALL * in_space
        scores: dict[str, list[float]] = {name: [] for name in METHODS}
        for clip in range(CLIPS):
            layers = random_layers(pictures, side, SPEED * in_space, np.random.default_rng(clip))
            times = [k / in_time for k in range(in_time)]
            truths = [drawn(layers, t, side) for t in times]
            ends = [resized(drawn(layers, t, side), (SMALL, SMALL)).clip(0, 1).astype(np.float32) for t in (0, 1)]
            for name, method in METHODS.items():
                found = method(ends[0], ends[1], times, (side, side))
                scores[name] += [psnr(frame.clip(0, 1) @ LUMINANCE, truth @ LUMINANCE)
                                 for frame, truth in zip(found, truths, strict=True)]  # fmt: skip
                if show is not None and clip < 2:
                    middle = in_time // 2
                    Image.fromarray(np.rint(255 * np.hstack([found[middle].clip(0, 1), truths[middle]])).astype(np.uint8)
                                    ).save(show / f"{in_time}x{in_space}-{clip}-{name.split(',')[0]}.png")  # fmt: skip
        for name, some in scores.items():
            rows.append({"part": "scales", "method": name, "space": in_space, "time": in_time,
                         "frames": f"{CLIPS} made clips", "psnr_db": round(np.mean(some), 3)})  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def write_480p(source: Path, target: Path, seconds: float) -> int:
    """The beginning of a clip at 854 x 480, with its sound; how many frames it has."""
    import av

    count = 0
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        video = made.add_stream("libx264", rate=given.streams.video[0].average_rate, options={"crf": "17"})
        video.height, video.width, video.pix_fmt = *LARGE, "yuv420p"
        sound = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(video=0, audio=0):
            if packet.dts is None or packet.dts * packet.time_base >= seconds:
                continue
            if packet.stream.type == "audio":
                packet.stream = sound
                made.mux(packet)
                continue
            for frame in packet.decode():
                small = frame.reformat(width=LARGE[1], height=LARGE[0], format="yuv420p")
                small.pts, small.time_base = count, Fraction(1) / given.streams.video[0].average_rate
                made.mux(video.encode(small))
                count += 1
        made.mux(video.encode())
    return count


def stream() -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (10.0,):
            source, target = Path(folder) / "a.mp4", Path(folder) / "b.mp4"
            given = write_480p(DATA / "video" / "train" / "mp4" / "02_cups.mp4", source, seconds)
            words = [sys.executable, "-m", "ungrid", "upscale", str(source), "-s", "2", "--time-scale", "2",
                     "-o", str(target), "--json", "-q", "--bfloat16"]  # fmt: skip
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            answer = json.loads(done.stdout.splitlines()[-1])
            assert answer["frames"] == 2 * given - 1
            rows.append(
                {"part": "stream", "method": "ungrid, bfloat16", "space": 2, "time": 2,
                 "frames": f"{given} of 854 x 480", "seconds": round(answer["wall_seconds"], 1),
                 "seconds_per_frame": round(answer["metrics"]["seconds_per_frame"], 3),
                 "memory_mb": round(answer["metrics"]["peak_memory_mb"])}
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("city", "middlebury", "scales", "stream"))
    parser.add_argument("--show", type=Path, help="of scales: a folder for pictures")
    given = parser.parse_args()
    set_threads(None)
    rows = scales(given.show) if given.part == "scales" else {"city": city, "middlebury": middlebury, "stream": stream}[
        given.part]()  # fmt: skip
    write("video", rows, key=("part",))


if __name__ == "__main__":
    main()
