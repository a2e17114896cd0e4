"""`ungrid solve PROBLEM -o F.field`: an equation with its conditions to a field, beside the classical solution."""

import runpy
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from ungrid._base.errors import InputError, UngridError
from ungrid.cli.fit import record
from ungrid.cli.progress import progress
from ungrid.cli.run import Run, check_target, readable

if TYPE_CHECKING:
    import numpy as np

    from ungrid.certificates import Bound
    from ungrid.equations import Problem
    from ungrid.pde import Example
    from ungrid.reference.finite_elements import ElementSolution
    from ungrid.solvers import FitResult

SIDE = 220  # pixels of the longer side of a picture
LINE = 400  # points of a curve


def solve(
    run: Run,
    problem: Annotated[
        str | None, Argument(help="A name of the gallery, or a Python file that defines `problem`.")
    ] = None,
    output: Annotated[
        Path | None, Option("--output", "-o", metavar="F.field", help="Where to; default: the problem's name, here.")
    ] = None,
    reference: Annotated[
        bool, Option("--reference", help="Also solve it by finite elements, and print the distance.")
    ] = False,
    tolerance: Annotated[
        float, Option(min=0.0, help="Relative change at which the finite elements are no longer refined.")
    ] = 1e-4,
    certify: Annotated[
        bool, Option("--certify", help="Also bound the error, from above and, without time, from below.")
    ] = False,
    solver: Annotated[
        str, Option("--solver", metavar="NAME", help="auto, features, gauss-newton, broyden or adam (whole networks).")
    ] = "auto",
    parts: Annotated[
        int | None, Option(min=2, help="Overlapping parts, solved side by side; under torchrun by its processes.")
    ] = None,
    gallery: Annotated[bool, Option("--list", help="Print the names of the gallery.")] = False,
) -> None:
    """Solve a differential equation with its boundary and initial conditions."""
    if gallery or problem is None:
        from ungrid.pde import GALLERY

        run.answer_rows({name: shown.title for name, shown in GALLERY.items()})
        run.details["gallery"] = list(GALLERY)
        return
    if parts is not None and solver not in ("auto", "features"):
        raise InputError(f"--parts with --solver {solver}", "features, which parts are solved by")
    source = Path(problem)
    target = output or Path(f"{source.stem if source.suffix == '.py' else problem}.field")
    check_target(target, (".field",), source)
    run.start()
    with run.setting_up():
        from ungrid import pde
        from ungrid.certificates import certifier
        from ungrid.io import save
        from ungrid.pde.ladder import SOLVERS

        if solver not in SOLVERS:
            raise InputError(f"the solver {solver!r}", ", ".join(SOLVERS))
        process, _ = run.processes()
        chosen, posed = chosen_problem(problem)
        if reference:
            pde.check_reference(posed)  # before any work is done
        bound_of = certifier(posed) if certify else None
    if run.common.plan:
        run.answer_rows({"problem": posed.name, "axes": list(posed.axes), "parts": list(posed.domain.parts),
                         "seconds": run.common.budget or 10.0, "output": str(target)})  # fmt: skip
        return
    budget: dict[str, Any] = {} if run.common.budget is None else {"budget": run.common.budget}
    given: dict[str, Any] = {"seed": run.common.seed, "threads": run.common.threads, **budget}
    with progress(run) as report:
        if parts is None:
            result = pde.solve(posed, solver=solver, report=report, **given)
        else:
            result = pde.solve_in_parts(posed, parts, report=report, **given)
    if process > 0:
        return
    record(run, result)
    run.details["problem"] = posed.name
    kept = {k: v for k, v in result.stats.items() if isinstance(v, (bool, int, float, str, dict))}
    save(result.field, target, provenance={"problem": posed.name, "seed": run.common.seed, **kept})
    run.outputs.append(str(target))
    found = {name: {"value": value, "deviation": result.stats["deviations"].get(name),
                    "interval": result.stats["intervals"].get(name)}
             for name, value in result.stats["unknowns"].items()}  # fmt: skip
    if found:
        run.metrics["unknowns"] = found
    points = pde.check_points(posed, run.common.seed)
    if chosen is not None and chosen.exact is not None:
        exact = pde.exact_values(posed, chosen.exact, points)
        run.metrics["relative_l2"] = pde.distance(result.field, exact, points).relative_l2
    referee = None
    if reference:
        referee = pde.reference(posed, tolerance=tolerance)
        apart = pde.distance(result.field, referee(points), points)
        run.metrics.update(
            reference_relative_l2=apart.relative_l2, reference_largest=apart.largest,
            reference_error=referee.error, reference_seconds=referee.seconds,
        )  # fmt: skip
        if pde.can_split(result):
            split = pde.split_error(posed, result, referee, seed=run.common.seed)
            run.metrics.update({f"error_{name}": value for name, value in asdict(split).items() if name != "total"})
    bound = None if bound_of is None else bound_of(result.field)
    if bound is not None:
        lower, upper = bound.relative
        run.metrics.update(bound_lower=lower, bound_upper=upper)
        run.details["bound"] = {
            "kind": bound.kind, "norm": bound.norm, "lower": bound.lower, "upper": bound.upper,
            "assumptions": list(bound.assumptions),
        }  # fmt: skip
    fill_page(run, posed, chosen, result, referee, bound)
    singles = {k: v for k, v in run.metrics.items() if isinstance(v, (int, float))}
    answer = {"field": f"{target}, {target.stat().st_size} bytes", **singles}
    answer |= {name: with_interval(each["value"], each["interval"]) for name, each in found.items()}
    run.answer_rows(answer | ({} if bound is None else described(bound)))


def described(bound: "Bound") -> dict[str, Any]:
    """A bound for a person."""
    rests = {f"it rests on {k + 1}": words for k, words in enumerate(bound.assumptions)}
    return {"error bound": str(bound), **rests}


def with_interval(value: float, interval: tuple[float, float] | None) -> str:
    """An unknown number, with what covers it in 90 of 100 cases where measurements tell."""
    return f"{value:.6g}" + ("" if interval is None else f", 90 % in {interval[0]:.6g} to {interval[1]:.6g}")


def chosen_problem(name: str) -> tuple["Example | None", "Problem"]:
    """The example of that name with its problem, or None with the problem that a Python file defines.

    Raises:
        InputError: if there is no such name or file, or the file does not define a problem.
    """
    from ungrid import pde

    if not name.endswith(".py"):
        found = pde.example(name)
        return found, found.make()
    path = Path(name)
    if not path.is_file():
        raise InputError(f"no file {name}", "a Python file that defines `problem`, or a name of the gallery")
    try:
        defined = runpy.run_path(str(path)).get("problem")
    except UngridError:
        raise
    except (Exception, SystemExit) as error:  # whatever a file of the user's may raise
        where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else where[-1] if where else None
        raise InputError(
            f"{name}, line {line}: {type(error).__name__}: {error}", "a Python file that defines `problem`"
        ) from error
    if not isinstance(defined, pde.Problem):
        raise InputError(
            f"{name}, whose `problem` is of type {type(defined).__name__}", "`problem = pde.Problem(domain, ...)`"
        )
    return None, defined


def fill_page(
    run: Run,
    posed: "Problem",
    chosen: "Example | None",
    result: "FitResult",
    referee: "ElementSolution | None",
    bound: "Bound | None",
) -> None:
    """What ``--report`` shows: the solution, the reference, their difference, the bound, the check over time."""
    if run.common.report is None:
        return
    import numpy as np

    from ungrid import pde

    page = run.page(f"{posed.name}: {chosen.title if chosen is not None else 'a problem of your own'}")
    others: dict[str, Any] = {}
    if chosen is not None and chosen.exact is not None:
        exact = chosen.exact
        others["exact solution"] = lambda points: pde.exact_values(posed, exact, points)
    if referee is not None:
        others["finite elements"] = referee
    if posed.domain.dim == 1:
        axis = posed.domain.axes[0]
        x = np.linspace(axis.low, axis.high, LINE)
        drawn = {"field": result.field, **others}
        curves = {name: list(zip(x.tolist(), f(x[:, None])[:, 0].tolist(), strict=True)) for name, f in drawn.items()}
        page.curves("The solution", {posed.equation.out_names[0]: curves}, x=axis.name)
    elif posed.domain.dim == 2 or (posed.domain.dim == 3 and posed.changes):
        page.pictures("The solution", plane_pictures(posed, result, others))
    if bound is not None:
        page.table("How far it is from the exact solution", described(bound))
    checks = [(row["seconds"], row["relative_residual"]) for row in result.history if "relative_residual" in row]
    if checks:  # parts are compared with each other instead
        page.curves("The check on fresh points (relative residual)", {"loss: relative residual": {"check": checks}})
    page.table("Residuals on fresh points", result.stats["residuals"])


def plane_pictures(posed: "Problem", result: "FitResult", others: dict[str, Any]) -> dict[str, "np.ndarray"]:
    """Every component over a plane domain, the second axis upwards; white outside; over time at its end."""
    import numpy as np

    from ungrid.cli.picture import in_colours, in_two_colours

    lengths = (posed.domain.high - posed.domain.low)[:2]
    nx, ny = (max(8, round(SIDE * length / lengths.max())) for length in lengths)
    if posed.changes and posed.domain.dim == 2:  # time and space have no common scale
        nx = ny = SIDE
    x = posed.domain.low[0] + (np.arange(nx) + 0.5) / nx * lengths[0]
    y = posed.domain.high[1] - (np.arange(ny) + 0.5) / ny * lengths[1]
    points = np.stack(np.meshgrid(x, y, indexing="xy"), axis=-1).reshape(-1, 2)
    if posed.domain.dim == 3:
        points = np.column_stack([points, np.full(len(points), posed.domain.high[2])])
    inside = posed.domain.contains(points)

    def over(function: Any) -> np.ndarray:
        values = np.full((len(points), len(posed.equation.out_names)), np.nan)
        values[inside] = np.asarray(function(points[inside]))
        return values.T.reshape(-1, ny, nx)

    across = f"{posed.axes[0]} to the right, {posed.axes[1]} upwards"
    if posed.domain.dim == 3:
        across += f", at {posed.axes[2]} = {readable(float(posed.domain.high[2]))}"
    drawn, shown = {name: over(function) for name, function in {"the field": result.field, **others}.items()}, {}
    for k, unknown in enumerate(posed.equation.out_names):
        field, which = drawn["the field"][k], "" if len(drawn["the field"]) == 1 else f"{unknown}: "
        low, high = float(np.nanmin(field)), float(np.nanmax(field))
        shown[f"{which}the field, {readable(low)} to {readable(high)}; {across}"] = in_colours(field, low, high)
        for name in others:
            apart = float(np.nanmax(np.abs(field - drawn[name][k])))
            shown[f"{which}{name}"] = in_colours(drawn[name][k], low, high)
            difference = in_two_colours(field - drawn[name][k], apart)
            shown[f"{which}field - {name}, at most {apart:.1e}; red: above"] = difference
    return shown
