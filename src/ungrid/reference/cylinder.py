"""The exact scattering of a plane wave by a dielectric circular cylinder, as a series of Bessel functions.

Convention: scaled units, phasors with exp(-iωt), the cylinder about the origin, the wave ``exp(i k x)``. The field is the
component along the axis, E for TM waves and H for TE waves.

Source: Bohren and Huffman 1983, *Absorption and scattering of light by small particles*, section 8.4 (with exp(-iωt)).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import h1vp, hankel1, jv, jvp

from ungrid._base.errors import InputError

MORE = 16  # terms beyond the argument of the Bessel functions


@dataclass(frozen=True)
class CylinderScattering:
    """A plane wave and a cylinder.

    Attributes:
        wavenumber: k outside.
        radius: of the cylinder.
        permittivity: of the cylinder, relative to the outside; complex with losses.
        waves: "TM" or "TE".
    """

    wavenumber: float
    radius: float
    permittivity: complex
    waves: str = "TM"

    def __post_init__(self) -> None:
        if not (self.wavenumber > 0 and self.radius > 0) or self.waves not in ("TM", "TE"):
            raise InputError(
                f"a wavenumber of {self.wavenumber}, a radius of {self.radius} and waves {self.waves!r}",
                'two positive numbers, and "TM" or "TE"',
            )

    @cached_property
    def _orders(self) -> np.ndarray:
        most = int(abs(np.sqrt(self.permittivity)) * self.wavenumber * self.radius) + MORE
        return np.arange(-most, most + 1)

    @cached_property
    def _coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the outgoing waves outside and of the standing ones inside, without the factor i^n.

        The field and, for TM, its normal derivative are continuous; for TE that over ε.
        """
        n, x = self._orders, self.wavenumber * self.radius
        index = np.sqrt(complex(self.permittivity))
        y, factor = index * x, index if self.waves == "TM" else 1 / index
        above = jvp(n, x) * jv(n, y) - factor * jv(n, x) * jvp(n, y)
        below = h1vp(n, x) * jv(n, y) - factor * hankel1(n, x) * jvp(n, y)
        outside = -above / below
        return outside, (jv(n, x) + outside * hankel1(n, x)) / jv(n, y)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The whole field, a complex number (n,), at points (n, 2)."""
        r, θ = np.hypot(*points.T), np.arctan2(points[:, 1], points[:, 0])
        inside, k = r < self.radius, self.wavenumber
        outer, inner = self._coefficients
        total = np.where(inside, 0.0, np.exp(1j * k * points[:, 0]))
        safe, index = np.where(inside, self.radius, r), np.sqrt(complex(self.permittivity))
        for n, a, b in zip(self._orders, outer, inner, strict=True):
            part = np.where(inside, b * jv(n, index * k * r), a * hankel1(n, k * safe))
            total = total + 1j ** int(n % 4) * part * np.exp(1j * n * θ)
        return np.asarray(total)
