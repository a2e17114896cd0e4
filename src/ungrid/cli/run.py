"""One run of the command: the flags that every verb has, clocks, what is printed where, exit codes.

Convention: progress and remarks go to standard error, the answer to standard output; with ``--json`` the answer is one
object on the last line. `seconds` is work on the signal, `setup_seconds` is import, decoding and compilation, and
`wall_seconds` the time of the whole command. Exit codes: 0 done, 2 wrong input, 130 interrupted, 1 anything else.
"""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from ungrid import __version__
from ungrid._base.errors import InputError, UngridError
from ungrid._base.memory import peak_memory

if TYPE_CHECKING:
    from rich.console import Console

    from ungrid.cli.report import Report

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


@dataclass(frozen=True, kw_only=True)
class Common:
    """The flags of every verb."""

    json: Annotated[bool, Option("--json", help="Print one JSON object as the last line.")] = False
    seed: Annotated[int, Option(min=0, max=2**32 - 1, help="Of every random draw.")] = 0
    device: Annotated[str, Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto"
    threads: Annotated[int | None, Option(min=1, help="CPU threads; all cores if not given.")] = None
    budget: Annotated[float | None, Option(metavar="SECONDS", help="Time for the optimisation.")] = None
    steps: Annotated[int | None, Option(min=1, help="A number of steps instead of a time.")] = None
    report: Annotated[Path | None, Option(metavar="FILE.html", help="Also write one HTML page about the run.")] = None
    quiet: Annotated[bool, Option("--quiet", "-q", help="No progress and no remarks.")] = False
    plan: Annotated[bool, Option("--plan", help="Say what would be done (size, memory, time), and do nothing.")] = False


@dataclass
class Run:
    """The state of one call: what has been used, found and written so far."""

    command: str
    common: Common
    device: str = "cpu"
    threads: int = 1
    seconds: float | None = None  # work on the signal; None: all that is not set-up
    setup_seconds: float = 0.0
    outputs: list[str] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # further entries of the JSON object
    opened: ExitStack = field(default_factory=ExitStack)  # what is closed when the verb has ended
    process: int = 0  # this one's number among those that torchrun has started; only the first one answers
    code: int = DONE
    began: float = field(default_factory=time.perf_counter)

    def execute(self, function: Callable[..., None], arguments: dict[str, Any]) -> int:
        """Call the verb, print its answer or its error, and give the exit code."""
        try:
            if self.common.report is not None:
                check_target(self.common.report, (".html", ".htm"))
            with self.opened:
                function(self, **arguments)
            if self.process == 0:
                self._write_report()
        except UngridError as error:
            self._fail(str(error), WRONG_INPUT)
        except KeyboardInterrupt:
            there = f"; {', '.join(self.outputs)} written" if self.outputs else ", before there was anything to save"
            self._fail(f"interrupted{there}", INTERRUPTED)
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
            self._fail(f"{error.filename}: {error.strerror}", WRONG_INPUT)
        except MemoryError:
            self._fail("out of memory; expected less data or a smaller --size", FAILED)
        if self.common.json and self.process == 0:
            sys.stdout.write(json.dumps(finite(self.summary()), allow_nan=False) + "\n")
        return self.code

    def summary(self) -> dict[str, Any]:
        """The JSON object."""
        wall = time.perf_counter() - self.began
        seconds = max(0.0, wall - self.setup_seconds) if self.seconds is None else self.seconds
        return {
            "command": self.command,
            "version": __version__,
            "device": self.device,
            "threads": self.threads,
            "seed": self.common.seed,
            "seconds": round(seconds, 4),
            "setup_seconds": round(self.setup_seconds, 4),
            "wall_seconds": round(wall, 4),
            "outputs": self.outputs,
            "metrics": {**self.metrics, "peak_memory_mb": round(peak_memory() / 1e6, 1)},
            **self.details,
        }

    def processes(self) -> tuple[int, int]:
        """Join the other processes that torchrun has started, until the verb ends: this one's number, and their count."""
        from ungrid.solvers.processes import processes

        self.process, count = self.opened.enter_context(processes())
        return self.process, count

    @contextmanager
    def setting_up(self) -> Iterator[None]:
        """The block counts as set-up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.setup_seconds += time.perf_counter() - start

    def start(self) -> None:
        """Import torch, choose device and threads as the flags say, and print them.

        Raises:
            InputError: if there is no such device, or the budget is not positive.
        """
        if self.common.budget is not None and not self.common.budget > 0:
            raise InputError(f"a budget of {self.common.budget} s", "positive numbers")
        with self.setting_up():
            from ungrid._base.devices import choose_device, set_threads

            self.device = str(choose_device(self.common.device))
            self.threads = set_threads(self.common.threads)
        self.say(f"ungrid {__version__} on {self.device}, {self.threads} thread{'s' * (self.threads > 1)}")

    def say(self, text: str) -> None:
        """A remark, on standard error."""
        if not self.common.quiet:
            self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def answer(self, text: str) -> None:
        """The result for a person, on standard output; with ``--json`` the object takes its place."""
        if not self.common.json:
            sys.stdout.write(text.rstrip("\n") + "\n")

    def answer_rows(self, rows: dict[str, Any]) -> None:
        """A two-column answer."""
        width = max(len(name) for name in rows)
        self.answer("\n".join(f"{name:<{width}}  {readable(value)}" for name, value in rows.items()))

    @property
    def console(self) -> "Console":
        """Standard error, with colours where it is a terminal."""
        from rich.console import Console

        return Console(stderr=True)

    def page(self, title: str) -> "Report":
        """The page that ``--report`` asks for; without the flag it is filled and not written."""
        from ungrid.cli.report import Report

        self._page = Report(title)
        return self._page

    def _write_report(self) -> None:
        if self.common.report is None or self.common.plan:
            return
        found = {name: value for name, value in self.metrics.items() if not isinstance(value, (list, dict))}
        page = self.__dict__.get("_page") or self.page(f"ungrid {self.command}")
        page.table("Metrics", found)
        page.table("Run", {k: v for k, v in self.summary().items() if k not in ("metrics", "outputs")})
        page.write(self.common.report)
        self.outputs.append(str(self.common.report))

    def _fail(self, message: str, code: int) -> None:
        self.code = code
        self.details["error"] = message
        sys.stderr.write(f"ungrid {self.command}: {message}\n")


def check_target(path: Path, suffixes: tuple[str, ...] = (), source: Path | None = None) -> None:
    """Refuse an output that could not be written, before any work is done for it.

    Raises:
        InputError: if its folder is missing, it is a folder, its suffix is another one, or it is the source itself.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise InputError(f"the output {str(path)!r}", f"a name that ends in {' or '.join(suffixes)}")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            f"the output {str(path)!r}", "the name of a file in an existing folder", "make the folder first"
        )
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise InputError(f"{str(path)!r} as source and as output", "two files", "ungrid never changes a source")


def finite(value: Any) -> Any:
    """`value` as JSON can hold it: NaN and infinities become null, numpy's numbers plain ones."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    number = float(value)
    return number if math.isfinite(number) else None


def readable(value: Any) -> str:
    """A value for a person: six digits, thousands apart."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {readable(item)}" for name, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(readable(item) for item in value)
    return str(value)
