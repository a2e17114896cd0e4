"""Regions whose boundary parts have been given other names."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains.bodies import Body
from ungrid.domains.domain import Axis
from ungrid.domains.pieces import Piece, Predicate
from ungrid.domains.region import Region


@dataclass(frozen=True)
class Named(Region):
    """`region` with other pieces for its boundary: the same set of points, split and named differently."""

    region: Region
    _pieces: tuple[Piece, ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    @property
    def axes(self) -> tuple[Axis, ...]:
        return self.region.axes

    @property
    def given_names(self) -> frozenset[str]:
        return self.region.given_names | (set(self.parts) - set(self.region.parts))

    @property
    def body(self) -> Body:
        return self.region.body


def renamed(region: Region, name: str, where: Predicate | str | Iterable[str] | None) -> tuple[Piece, ...]:
    """The pieces of the region, those that `where` chooses under the new name."""
    if callable(where):
        return _by_predicate(region, name, where)
    chosen = region.parts if where is None else (where,) if isinstance(where, str) else tuple(where)
    for part in chosen:
        region.pieces_of(part)  # raises for an unknown one
    return tuple(piece.renamed(name) if piece.name in chosen else piece for piece in region.pieces)


def _by_predicate(region: Region, name: str, where: Predicate) -> tuple[Piece, ...]:
    def checked(points: np.ndarray) -> np.ndarray:
        values = np.asarray(where(points))
        if values.size != len(points):
            raise InputError(f"a predicate that gives {values.shape} for {len(points)} points", "a boolean for each")
        return values.reshape(-1).astype(bool)

    split = [part for piece in region.pieces for part in piece.split(checked)]
    if not any(value for _, value in split):
        raise InputError(f"the part {name!r} by a predicate that is true nowhere on the boundary", "some of it")
    return tuple(piece.renamed(name) if value else piece for piece, value in split)
