"""Ctrl-C between two steps instead of anywhere.

A `KeyboardInterrupt` that is raised while a compiled kernel runs comes out of it as a `SystemError`, and one in the middle of
a step leaves weights and optimiser at odds. So a computation that takes steps notes the first signal and raises at its next
`check`; a second signal raises at once.
"""

import signal
import threading
from types import FrameType
from typing import Any


class Interrupts:
    """Defers the first SIGINT inside a ``with`` block to the next `check`.

    Only where Python's own handler is in place and in the main thread; elsewhere everything stays as it is.
    """

    def __init__(self) -> None:
        self.asked = False
        self._replaced = False

    def __enter__(self) -> "Interrupts":
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._replaced = True
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._replaced:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def check(self) -> None:
        """Raise the `KeyboardInterrupt` that was asked for, once."""
        if self.asked:
            self.asked = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
