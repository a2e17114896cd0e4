"""Certificates of elliptic problems and of heat: sound, how sharp, how fast; goals and eigenvalues with known values.

    python benchmarks/certificates.py             # writes benchmarks/results/certificates*.csv; some minutes
    python benchmarks/certificates.py soundness   # one of the tables: soundness, evolving, sharpness, numbers

Soundness: random problems with known solutions (`tests/certificates/manufactured.py`); those with polynomial data must be
certified, and are compared with the exact error in rational arithmetic, without a tolerance. An error below 1e-11 of the
solution is a rounding error, for which a lower bound says nothing; such cases count for soundness only. Sharpness: fields that
are off by a smooth factor, with one flux for each problem.
"""

import importlib.util
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from record import write

from ungrid.certificates import (
    Bound,
    Certifier,
    certify,
    certify_evolution,
    certify_flux,
    certify_mean,
    smallest_eigenvalue,
)
from ungrid.domains import Box, Polygon
from ungrid.equations import Dirichlet, Neumann, Poisson, Problem
from ungrid.equations.coefficients import values
from ungrid.reference.finite_elements import solve_elements

POLYNOMIAL, SMOOTH, HEAT = 400, 200, 150  # problems of each kind
WAVES, LAWS = (120, 60), (120, 60)  # with polynomial and with other data
REFINED = (0, 4)  # rounds of finer grids for those
ROUNDING = 1e-11  # of the solution: errors below are rounding
QUADRATURE = 1e-9  # of the true error of a smooth problem, relative
ENERGY = 0.2140758036  # ∫ |∇u|² = ∫ u on the L-shape with f = 1, u = 0 around
EIGENVALUE = 9.6397238440  # the smallest one of the L-shape
SQUARE = Box(x=(0, 1), y=(0, 1))
LSHAPE = Box(x=(-1, 1), y=(-1, 1)) - SQUARE


def drawn_by(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "tests" / "certificates" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# -- soundness ----------------------------------------------------------------------------------------------------------


def soundness() -> None:
    module = drawn_by("manufactured")
    kinds = {
        "elliptic, polynomial data, exact error": (module.polynomial_case, POLYNOMIAL, 0.0),
        "elliptic, other data, error by quadrature": (module.smooth_case, SMOOTH, QUADRATURE),
        "heat, polynomial data, exact error": (module.heat_case, HEAT, 0.0),
    }
    write("certificates", [judged(name, *given) for name, given in kinds.items()], key=("problems",))


def judged(name: str, make: Any, count: int, tolerance: float) -> dict[str, Any]:
    """Every bound against the true error."""
    words, unsound, lower, upper, seconds, rounding = [], [], [], [], 0.0, 0
    for seed in range(count):
        case = make(seed)
        begin = time.perf_counter()
        bound = certified(case)
        seconds += time.perf_counter() - begin
        words.append(bound.kind)
        square = case.square(bound.certified_object)
        error = float(square) ** 0.5
        if not holds(bound, square, tolerance):
            unsound.append(case.name)
        if error <= ROUNDING * max(bound.size, error):
            rounding += 1
        else:
            lower.append(bound.lower / error)
            upper.append(bound.upper / error)
    for case_name in unsound:
        print("not sound:", case_name)
    return {
        "problems": name, "count": count, "certified": words.count("certified"), "estimated": words.count("estimated"),
        "sound": count - len(unsound), "rounding_errors": rounding,
        "lower_at_least_half": round(float(np.mean(np.array(lower) >= 0.5)), 4) if any(lower) else "",
        "lower_over_error_median": round(float(np.median(lower)), 4) if any(lower) else "",
        "upper_over_error_median": round(float(np.median(upper)), 4),
        "upper_over_error_90_percent": round(float(np.quantile(upper, 0.9)), 3),
        "seconds_each": round(seconds / count, 3),
    }  # fmt: skip


def certified(case: Any) -> Bound:
    if case.problem.changes:
        return certify_evolution(case.field, case.problem, case.mesh, slabs=case.slabs)
    return certify(case.field, case.problem, case.mesh)


def holds(bound: Bound, square: Fraction | float, tolerance: float) -> bool:
    if not tolerance:
        return Fraction(bound.lower) ** 2 <= square <= Fraction(bound.upper) ** 2
    slack = 1e-24
    return bool(
        bound.lower**2 <= square * (1 + tolerance) + slack and bound.upper**2 >= square * (1 - tolerance) - slack
    )


# -- waves and conservation laws ----------------------------------------------------------------------------------------


def evolving() -> None:
    """Waves and viscous conservation laws: the error at some times against the bound of the largest."""
    drawn_by("manufactured")
    module = drawn_by("evolving")
    rows = [
        judged_in_time("wave, polynomial data, exact error", module.wave_case, WAVES[0], 0.0, square=True),
        judged_in_time("wave, other data, error by quadrature", module.smooth_wave_case, WAVES[1], QUADRATURE),
        judged_in_time("conservation law, polynomial data, exact error", module.law_case, LAWS[0], 0.0),
        judged_in_time("Burgers, other data, error by quadrature", module.smooth_law_case, LAWS[1], QUADRATURE),
    ]
    write("certificates_evolving", rows, key=("problems",))


def judged_in_time(name: str, make: Any, count: int, tolerance: float, *, square: bool = False) -> dict[str, Any]:
    """Every bound against the true error, without a tolerance where that is exact."""
    words, unsound, ratios, seconds, rounding = [], [], [], 0.0, 0
    for seed in range(count):
        case = make(seed)
        begin = time.perf_counter()
        bound = case.bound(REFINED[bool(tolerance)])
        seconds += time.perf_counter() - begin
        words.append(bound.kind)
        error = case.error(bound.certified_object)
        upper = Fraction(bound.upper) ** (2 if square else 1)
        if not error <= upper * (1 + Fraction(tolerance)) + (Fraction(1e-14) if tolerance else 0):
            unsound.append(case.name)
        plain = float(error) ** (0.5 if square else 1.0)
        if plain <= ROUNDING * max(bound.size, plain):
            rounding += 1
        else:
            ratios.append(bound.upper / plain)
    for case_name in unsound:
        print("not sound:", case_name)
    return {
        "problems": name, "count": count, "certified": words.count("certified"), "estimated": words.count("estimated"),
        "sound": count - len(unsound), "rounding_errors": rounding,
        **{f"upper_over_error_{q}_percent": round(float(np.quantile(ratios, q / 100)), 2) for q in (10, 50, 90)},
        "seconds_each": round(seconds / count, 3),
    }  # fmt: skip


# -- sharpness ----------------------------------------------------------------------------------------------------------


def wave(x: np.ndarray) -> np.ndarray:
    return np.sin(3 * x[:, :1] + 1) * np.cos(2 * x[:, 1:])


def sharpness() -> None:
    """Against the identity ``|||u - v|||² = |||u|||² - 2 ∫ f v + |||v|||²`` for u = 0 on the boundary."""
    lshape = Problem(LSHAPE, Poisson(1.0), [Dirichlet(0.0)], name="L-shape, f = 1")
    square = Problem(
        SQUARE, Poisson(lambda x, y: 2 * (x * (1 - x) + y * (1 - y))), [Dirichlet(0.0)], name="square, polynomial"
    )
    sine = Problem(
        SQUARE, Poisson(lambda x, y: 2 * np.pi**2 * np.sin(np.pi * x) * np.sin(np.pi * y)), [Dirichlet(0.0)],
        name="square, sine",
    )  # fmt: skip
    fields: list[tuple[Problem, Any, float]] = [
        (lshape, solve_elements(lshape, h=0.015, grading=0.3), ENERGY),
        (square, lambda x: (x * (1 - x)).prod(axis=1, keepdims=True), 1 / 45),
        (sine, lambda x: np.sin(np.pi * x).prod(axis=1, keepdims=True), np.pi**2 / 2),
    ]
    rows = []
    for problem, u, energy in fields:
        begin = time.perf_counter()
        certifier = Certifier(problem)
        certifier(u)  # with the factors of the correction, and the tables of this degree
        first = time.perf_counter() - begin
        for size in (0.002, 0.005, 0.01, 0.02, 0.1):
            begin = time.perf_counter()
            bound = certifier(lambda x, u=u, size=size: u(x) * (1 + size * wave(x)))
            seconds = time.perf_counter() - begin
            true = energy_error(bound, problem, energy)
            rows.append({
                "problem": problem.name, "perturbed_by": size, "kind": bound.kind, "cells": certifier.cells.count,
                "relative_error": f"{true / energy**0.5:.3e}", "lower_over_error": round(bound.lower / true, 4),
                "upper_over_error": round(bound.upper / true, 4), "first_seconds": round(first, 3),
                "next_seconds": round(seconds, 3),
            })  # fmt: skip
    write("certificates_sharpness", rows, key=("problem", "perturbed_by"))


def energy_error(bound: Bound, problem: Problem, energy: float) -> float:
    v = bound.certified_object
    rule = v.space.rule(12)
    local = v.values[v.space.dofs]
    slopes = np.einsum("icqn,nc->icq", rule.gradients, local)
    f = values("the source", problem.equation.source, rule.points.reshape(2, -1).T, problem.axes)
    load = f.reshape(rule.weights.shape) * np.einsum("qn,nc->cq", rule.values, local)
    return float(np.sqrt(energy + np.sum(rule.weights * ((slopes**2).sum(axis=0) - 2 * load))))


# -- numbers ------------------------------------------------------------------------------------------------------------


def numbers() -> None:
    """Goals and eigenvalues with known values."""
    lshape = Problem(LSHAPE, Poisson(1.0), [Dirichlet(0.0)])
    walls = [Dirichlet(lambda x, y: x**5 + y, ("x_low", "x_high")), Neumann(1.0, "y_high"), Neumann(-1.0, "y_low")]
    mixed = Problem(SQUARE, Poisson(lambda x: -20 * x**3), walls)
    triangle = Polygon([(0, 0), (1, 0), (0, 1)])
    goals: dict[str, tuple[Any, float]] = {
        "mean on the L-shape, f = 1": (lambda: certify_mean(lshape), ENERGY / 3),
        "mean of x^5 + y": (lambda: certify_mean(mixed), 2 / 3),
        "flux of x^5 + y through x = 1": (lambda: certify_flux(mixed, "x_high"), 5.0),
        "smallest eigenvalue of the L-shape": (lambda: smallest_eigenvalue(LSHAPE), EIGENVALUE),
        "smallest eigenvalue of the square": (lambda: smallest_eigenvalue(SQUARE), 2 * np.pi**2),
        "smallest eigenvalue of a triangle": (lambda: smallest_eigenvalue(triangle), 5 * np.pi**2),
        "smallest eigenvalue of the square, one side held": (
            lambda: smallest_eigenvalue(SQUARE, fixed=("x_low",)), np.pi**2 / 4,
        ),
    }  # fmt: skip
    rows = []
    for name, (make, exact) in goals.items():
        begin = time.perf_counter()
        bound = make()
        rows.append({
            "number": name, "kind": bound.kind, "lower": f"{bound.lower:.10g}", "exact": f"{exact:.11g}",
            "upper": f"{bound.upper:.10g}", "width": f"{bound.upper - bound.lower:.2e}",
            "holds": bound.lower <= exact + 5e-11 and exact - 5e-11 <= bound.upper,
            "seconds": round(time.perf_counter() - begin, 2),
        })  # fmt: skip
    write("certificates_numbers", rows, key=("number",))


def main() -> None:
    tables = {"soundness": soundness, "evolving": evolving, "sharpness": sharpness, "numbers": numbers}
    for name in sys.argv[1:] or tables:
        tables[name]()


if __name__ == "__main__":
    main()
