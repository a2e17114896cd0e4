"""Photographs of one scene that were exposed differently.

Convention: a gain for each photograph and colour multiplies the photograph, so that it shows what a field shows that all of
them share; the mean of the gains' logarithms over the photographs is 0.

Source: Martin-Brualla et al. 2021, *NeRF in the wild*, which learns a code for each photograph; a gain is what exposure and
white balance change, as far as the response of the camera is a power law.
"""

import numpy as np

from ungrid.radiance.lattice import Lattice
from ungrid.radiance.pictures import Pictures
from ungrid.radiance.refine import colors_of, some_pixels

DARKEST, BRIGHTEST = 0.02, 0.98  # of the levels that are not cut off


def exposure_gains(pictures: Pictures, lattice: Lattice, random: np.random.Generator) -> np.ndarray:
    """The gains (n, 3) of photographs, from how bright the field is at some of their pixels; 1 where none says it."""
    pixels, owners = some_pixels(pictures, random)
    given, shown = pictures.colors[pixels] / 255.0, colors_of(pictures, lattice, pixels).clip(0, 1)
    counts = (given > DARKEST) & (given < BRIGHTEST)
    photographs = len(pictures.widths)
    sums = [np.zeros((photographs, 3)) for _ in range(2)]
    for total, values in zip(sums, (shown, given), strict=True):
        np.add.at(total, owners, np.where(counts, values, 0.0))
    known = (sums[0] > 0) & (sums[1] > 0)
    logs = np.log(np.divide(sums[0], sums[1], out=np.ones_like(sums[0]), where=known))
    return np.exp(logs - logs.mean(axis=0))
