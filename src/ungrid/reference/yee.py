"""Maxwell's equations by finite differences in time on Yee's staggered grid, the conventional solution.

Convention: scaled units (c = ε0 = μ0 = 1), phasors with exp(-iωt), equal cells of the size h. In the plane E_z sits at the
nodes, H_x and H_y in the middles of the edges, H half a step of time behind E. Time steps are `COURANT` of the largest stable
one.

Sources: Yee 1966; Berenger 1994 (perfectly matched layer, E_z in two parts); Taflove and Hagness 2005, *Computational
electrodynamics*, sections 3.6, 5.10 (scattered field alone, a dielectric by its polarisation current) and 7.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from ungrid._base.errors import InputError

COURANT = 0.95
LAYER, REFLECTED, POWER = 1.0, 1e-6, 3  # of a matched layer: thickness in wavelengths, reflection, growth of its losses
PERIODS, RISE = 25, 4  # until the fields have settled; while the wave is switched on
PARTS = 8  # of a cell along each axis, for the mean of the permittivity over it


@dataclass(frozen=True, eq=False)
class Phasor:
    """A settled field: a function of points.

    Attributes:
        x: the nodes along both axes (n,).
        values: complex (n, n), the first axis x.
        steps: of time that were made.
    """

    x: np.ndarray
    values: np.ndarray
    steps: int

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Complex values (n,) at points (n, 2), by cubic interpolation."""
        return np.asarray(RegularGridInterpolator((self.x, self.x), self.values, method="cubic")(points))


def scattered_by_disk(wavenumber: float, radius: float, permittivity: float, *, reach: float, cells: int) -> Phasor:
    """The whole field E_z of a plane wave ``exp(i k x)`` and a dielectric disk about the origin.

    Args:
        wavenumber: k outside.
        radius: of the disk.
        permittivity: of the disk.
        reach: half the side of the square in which the field is wanted.
        cells: for each wavelength outside.

    Raises:
        InputError: if the disk is not inside of the square.
    """
    if not 0 < radius < reach:
        raise InputError(f"a disk of the radius {radius} in a square of the half side {reach}", "a smaller disk")
    wavelength = 2 * math.pi / wavenumber
    h = wavelength / cells
    n = math.ceil((reach + LAYER * wavelength) / h)
    x = h * np.arange(-n, n + 1)
    ε = _mean_permittivity(x, radius, permittivity, h)
    period = math.ceil(wavelength / (COURANT * h / math.sqrt(2)))
    dt = wavelength / period
    loss, loss_half = (_losses(at, reach, LAYER * wavelength) for at in (x, (x[1:] + x[:-1]) / 2))
    keep, gain = _decay(loss, dt)
    keep_half, gain_half = _decay(loss_half, dt)
    along, across, hx, hy = (np.zeros(shape) for shape in (ε.shape, ε.shape, (2 * n + 1, 2 * n), (2 * n, 2 * n + 1)))
    settled = np.zeros(ε.shape, dtype=complex)
    for step in range(PERIODS * period):
        e = along + across
        hx = keep_half[None, :] * hx - gain_half[None, :] / h * (e[:, 1:] - e[:, :-1])
        hy = keep_half[:, None] * hy + gain_half[:, None] / h * (e[1:] - e[:-1])
        t = (step + 0.5) * dt
        current = (ε - 1) * _incident_rate(x, t, wavenumber)[:, None]
        inner = slice(1, -1)
        curl_x = (hy[1:, inner] - hy[:-1, inner]) / h - current[inner, inner] / 2
        curl_y = -(hx[inner, 1:] - hx[inner, :-1]) / h - current[inner, inner] / 2
        eps = ε[inner, inner]
        along[inner, inner] = keep[inner, None] * along[inner, inner] + gain[inner, None] * curl_x / eps
        across[inner, inner] = keep[None, inner] * across[inner, inner] + gain[None, inner] * curl_y / eps
        if step >= (PERIODS - 1) * period:
            settled += (along + across) * np.exp(1j * wavenumber * (step + 1) * dt) * 2 / period
    kept = np.abs(x) <= reach + h / 2
    values = settled[np.ix_(kept, kept)] + np.exp(1j * wavenumber * x[kept])[:, None]
    return Phasor(x[kept], values, PERIODS * period)


def _incident_rate(x: np.ndarray, t: float, k: float) -> np.ndarray:
    """∂/∂t of ``cos(k x - k t)``, switched on over some periods."""
    rise = 2 * math.pi / k * RISE
    share = min(t / rise, 1.0)
    level, slope = math.sin(math.pi * share / 2) ** 2, math.pi / (2 * rise) * math.sin(math.pi * share)
    return np.asarray(k * level * np.sin(k * (x - t)) + (slope if share < 1 else 0.0) * np.cos(k * (x - t)))


def _mean_permittivity(x: np.ndarray, radius: float, permittivity: float, h: float) -> np.ndarray:
    """The mean over the cell around every node: second order for a field along the interface."""
    offsets = ((np.arange(PARTS) + 0.5) / PARTS - 0.5) * h
    fine = (x[:, None] + offsets).ravel()
    inside = (fine[:, None] ** 2 + fine[None] ** 2 < radius**2).astype(np.float64)
    share = inside.reshape(len(x), PARTS, len(x), PARTS).mean(axis=(1, 3))
    return 1 + (permittivity - 1) * share


def _losses(x: np.ndarray, reach: float, thickness: float) -> np.ndarray:
    depth = np.maximum(np.abs(x) - reach, 0.0) / thickness
    return np.asarray(-(POWER + 1) * math.log(REFLECTED) / (2 * thickness) * depth**POWER)


def _decay(loss: np.ndarray, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Of ``y' = -loss y + f``: the factors of y and f after a step, f in its middle."""
    keep = np.exp(-loss * dt)
    return keep, np.where(loss > 0, (1 - keep) / np.where(loss > 0, loss, 1.0), dt)


def solve_cavity(
    start: Sequence[Callable[..., np.ndarray]], sides: Sequence[float], cells: int, end: float
) -> list[np.ndarray]:
    """E in an empty box between conductors, from an E at rest (B = 0).

    Args:
        start: three functions of x, y, z, the components of E.
        sides: of the box, from the origin.
        cells: along the longest side.
        end: the time.

    Returns:
        The components of E at that time, at the places that `cavity_places` gives.
    """
    counts = [max(1, round(cells * side / max(sides))) for side in sides]
    steps = [side / n for side, n in zip(sides, counts, strict=True)]
    e = [np.array(f(*cavity_places(sides, cells, k)), dtype=np.float64) for k, f in enumerate(start)]
    for k in range(3):
        for axis in range(3):
            if axis != k:
                _ends(e[k], axis)
    total = math.ceil(end / (COURANT / math.sqrt(sum(1 / h**2 for h in steps))))
    dt = end / total
    b = [-dt / 2 * part for part in _curl(e, steps, forward=True)]
    for number in range(total):
        if number:
            b = [one - dt * part for one, part in zip(b, _curl(e, steps, forward=True), strict=True)]
        for k, part in enumerate(_curl(b, steps, forward=False)):
            inner = tuple(slice(None) if axis == k else slice(1, -1) for axis in range(3))
            e[k][inner] += dt * part
    return e


def cavity_places(sides: Sequence[float], cells: int, component: int) -> list[np.ndarray]:
    """x, y and z where a component of E sits, as arrays of its shape: in the middles along its own axis, else at nodes."""
    axes = []
    for axis, side in enumerate(sides):
        n = max(1, round(cells * side / max(sides)))
        at = (np.arange(n) + 0.5) if axis == component else np.arange(n + 1)
        axes.append(at * side / n)
    return list(np.meshgrid(*axes, indexing="ij"))


def _ends(values: np.ndarray, axis: int) -> None:
    """Zero at both ends of an axis, in place."""
    moved = np.moveaxis(values, axis, 0)
    moved[0] = moved[-1] = 0.0


def _curl(a: Sequence[np.ndarray], steps: Sequence[float], *, forward: bool) -> list[np.ndarray]:
    """Of E at all faces, or of B at all inner edges."""
    found = []
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        one, other = np.diff(a[j], axis=i) / steps[i], np.diff(a[i], axis=j) / steps[j]
        if not forward:  # B has values beside inner edges only along the axes of its differences
            one = one[tuple(slice(1, -1) if axis == j else slice(None) for axis in range(3))]
            other = other[tuple(slice(1, -1) if axis == i else slice(None) for axis in range(3))]
        found.append(one - other)
    return found
