"""The command `ungrid`: one module for each verb. Nothing here imports torch or numba before a verb needs it."""

import os
import signal


def main() -> None:
    """Entry point of the command."""
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "passive"
    )  # read when torch starts: spinning threads stall a shared machine
    signal.signal(signal.SIGINT, signal.default_int_handler)  # scripts start background jobs with SIGINT ignored
    from ungrid.cli.app import app

    app()
