"""A field with intervals from scattered, noisy measurements along tracks; hold-out by whole tracks."""

import numpy as np

import ungrid
from ungrid.domains import Box
from ungrid.sampling import PointSamples

rng = np.random.default_rng(0)
tracks, along = 24, 40
points = np.concatenate(
    [np.stack([np.full(along, k / (tracks - 1)), np.sort(rng.random(along))], axis=1) for k in range(tracks)]
)
noise = 0.05
values = np.sin(6 * points[:, :1]) * np.cos(5 * points[:, 1:]) + noise * rng.standard_normal((len(points), 1))
samples = PointSamples(points, values, Box(x=(0, 1), y=(0, 1)), ("height",), groups=np.repeat(np.arange(tracks), along))

result = ungrid.fit(samples, budget=5)
truth = np.sin(6 * 0.52) * np.cos(5 * 0.31)
error_between_the_tracks = abs(float(result.field(np.array([0.52, 0.31]))[0]) - truth)
