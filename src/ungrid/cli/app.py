"""The verbs, collected. A verb is a function of a `Run` and its own flags; the flags that all share are added here."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ungrid import __version__
from ungrid.cli.demo import demo
from ungrid.cli.doctor import doctor
from ungrid.cli.evaluate import evaluate
from ungrid.cli.export import export
from ungrid.cli.fit import fit
from ungrid.cli.info import info
from ungrid.cli.nerf import nerf
from ungrid.cli.render import render
from ungrid.cli.run import Common, Run
from ungrid.cli.share import share
from ungrid.cli.solve import solve
from ungrid.cli.train import train
from ungrid.cli.upscale import upscale
from ungrid.cli.view import view

app = typer.Typer(
    name="ungrid",
    help="Takes data off the grid: from samples to continuous, differentiable fields.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time that --help takes
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Verb(TyperCommand):
    """A command that answers an unknown flag with the ones that look like it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            unknown: Any = error  # NoSuchOption: of click or of typer's own copy of it, as typer's version goes
            if similar := getattr(error, "possibilities", None):
                unknown.message = f"{unknown.message}. Did you mean {' or '.join(similar)}?"
                unknown.possibilities = None
            raise


def verb(function: Callable[..., None]) -> Callable[..., None]:
    """The command of a verb: `function` with the flags of `Common` added, run by `Run.execute`."""
    own = list(inspect.signature(function).parameters.values())[1:]
    shared = list(inspect.signature(Common).parameters.values())

    @functools.wraps(function)
    def command(**given: Any) -> None:
        common = Common(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        code = Run(function.__name__, common).execute(function, given)
        raise typer.Exit(code)

    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in (*own, *shared)]
    command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # what typer reads the flags from
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    del command.__wrapped__  # or typer would look at the function behind it
    return command


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ungrid {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None: ...


for function in (fit, solve, nerf, upscale, train, render, view, share, export, evaluate, info, doctor, demo):
    app.command(cls=Verb)(verb(function))
