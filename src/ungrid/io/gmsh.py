"""Meshes in the ASCII formats 2.2 and 4.1 of gmsh (gmsh reference manual, chapter on file formats).

Convention: lines and triangles (in space: triangles) that belong to a physical group name the part of the boundary. Of
elements of second order the corners are kept.
"""

from pathlib import Path

import numpy as np

from ungrid._base.errors import InputError
from ungrid.domains import TriangulatedRegion

CORNERS = {1: 2, 2: 3, 4: 4, 8: 2, 9: 3, 11: 4, 15: 1}  # corners by element type; 8, 9 and 11 are of second order
DIMENSION = {1: 1, 2: 2, 4: 3, 8: 1, 9: 2, 11: 3, 15: 0}
Element = tuple[int, int, list[int]]  # type, physical group, nodes


def read_msh(file: Path) -> TriangulatedRegion:
    """The triangles of a plane mesh, or the tetrahedra of one in space.

    Raises:
        InputError: if the file is binary, damaged, of another version, or holds other elements.
    """
    try:
        sections = _sections(file.read_text(encoding="utf-8", errors="replace").splitlines())
        version, binary = sections["MeshFormat"][0].split()[:2]
        if binary != "0" or version[0] not in "24":
            raise InputError(f"{file} of version {version}{'' if binary == '0' else ', binary'}", "2.2 or 4.1, ASCII")
        if version.startswith("2"):
            number, nodes, elements = _version_2(sections)
        else:
            number, nodes, elements = _version_4(sections)
        return _region(number, nodes, elements, _names(sections), file)
    except (KeyError, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}, damaged or cut off ({error!r})", "a gmsh mesh in ASCII") from error


def _sections(lines: list[str]) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    name = ""
    for line in lines:
        if line.startswith("$End"):
            name = ""
        elif line.startswith("$"):
            name = line[1:].strip()
            sections[name] = []
        elif name and line.strip():
            sections[name].append(line)
    return sections


def _names(sections: dict[str, list[str]]) -> dict[tuple[int, int], str]:
    """The names of physical groups by dimension and number."""
    rows = [line.split(maxsplit=2) for line in sections.get("PhysicalNames", [])[1:]]
    return {(int(dim), int(tag)): name.strip().strip('"') for dim, tag, name in rows}


def _version_2(sections: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray, list[Element]]:
    table = np.array([line.split()[:4] for line in sections["Nodes"][1:]], dtype=np.float64)
    elements: list[Element] = []
    for line in sections["Elements"][1:]:
        values = [int(v) for v in line.split()]
        kind, tags = values[1], values[2]
        elements.append((kind, values[3] if tags else 0, values[3 + tags :]))
    return table[:, 0].astype(np.int64), table[:, 1:], elements


def _version_4(sections: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray, list[Element]]:
    number, nodes = _nodes_4(sections["Nodes"])
    groups = _groups_4(sections.get("Entities", []))
    elements: list[Element] = []
    lines = iter(sections["Elements"][1:])
    for header in lines:
        dim, entity, kind, count = (int(v) for v in header.split())
        for _ in range(count):
            nodes_of = [int(v) for v in next(lines).split()[1:]]
            elements.append((kind, groups.get((dim, entity), 0), nodes_of))
    return number, nodes, elements


def _nodes_4(section: list[str]) -> tuple[np.ndarray, np.ndarray]:
    number: list[int] = []
    nodes: list[list[float]] = []
    lines = iter(section[1:])
    for header in lines:
        count = int(header.split()[3])
        number += [int(next(lines)) for _ in range(count)]
        nodes += [[float(v) for v in next(lines).split()[:3]] for _ in range(count)]
    return np.array(number, dtype=np.int64), np.array(nodes)


def _groups_4(section: list[str]) -> dict[tuple[int, int], int]:
    """The first physical group of every entity, by dimension and number."""
    groups: dict[tuple[int, int], int] = {}
    if not section:
        return groups
    lines = iter(section[1:])
    for dim, count in enumerate(int(v) for v in section[0].split()):
        for _ in range(count):
            values = next(lines).split()
            place = 4 if dim == 0 else 7  # after the coordinates, or after the bounding box
            if int(values[place]):
                groups[(dim, int(values[0]))] = int(values[place + 1])
    return groups


def _region(
    number: np.ndarray, nodes: np.ndarray, elements: list[Element], names: dict[tuple[int, int], str], file: Path
) -> TriangulatedRegion:
    unknown = {kind for kind, _, _ in elements} - set(CORNERS)
    if unknown:
        raise InputError(f"{file} with elements of the gmsh types {sorted(unknown)}", "triangles or tetrahedra")
    top = max((DIMENSION[kind] for kind, _, _ in elements), default=0)
    if top < 2 or (top == 2 and np.ptp(nodes[:, 2]) > 0):
        raise InputError(f"{file} without triangles in the x-y plane or tetrahedra", "a mesh of a region")
    order = np.argsort(number)
    cells = _of_dimension(elements, top)
    facets: dict[str, list[list[int]]] = {}
    for kind, group, corners in elements:
        if DIMENSION[kind] == top - 1 and group:
            facets.setdefault(names.get((top - 1, group), f"group_{group}"), []).append(corners[: CORNERS[kind]])
    every = order[np.searchsorted(number[order], np.array(cells))]
    used, compact = np.unique(every, return_inverse=True)
    place = np.full(len(nodes), -1, dtype=np.int64)
    place[used] = np.arange(len(used))
    parts = {name: place[order[np.searchsorted(number[order], np.array(rows))]] for name, rows in facets.items()}
    return TriangulatedRegion(nodes[used, :top].copy(), compact.reshape(every.shape).astype(np.int64), parts)


def _of_dimension(elements: list[Element], dimension: int) -> list[list[int]]:
    return [corners[: CORNERS[kind]] for kind, _, corners in elements if DIMENSION[kind] == dimension]
