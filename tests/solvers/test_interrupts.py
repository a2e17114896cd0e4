"""Ctrl-C is noted and raised between steps, and a second one raises at once."""

import signal
import threading
from collections.abc import Iterator

import pytest

from ungrid._base.interrupts import Interrupts


@pytest.fixture(autouse=True)
def own_handler() -> Iterator[None]:
    """Python's own handler, also where the tests were started with the signal ignored, as by nohup."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(times: int, reached: list[str]) -> None:
    """A step during which Ctrl-C is pressed."""
    with Interrupts() as interrupts:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        reached.append("the end of the step")
        interrupts.check()
        reached.append("the next step")


@pytest.mark.parametrize(("times", "expected"), [(1, ["the end of the step"]), (2, [])])
def test_the_first_signal_waits_for_the_check_and_the_second_does_not(times: int, expected: list[str]) -> None:
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        press(times, reached)
    assert reached == expected
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_nothing_happens_without_a_signal() -> None:
    with Interrupts() as interrupts:
        interrupts.check()


def test_other_handlers_and_threads_are_left_alone() -> None:
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append("theirs"))
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGINT)
            interrupts.check()
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == ["theirs"]

    def work() -> None:
        with Interrupts() as interrupts:
            interrupts.check()
        seen.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == ["theirs", "done"]
