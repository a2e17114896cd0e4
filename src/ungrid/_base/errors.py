"""The errors of ungrid. A message names what was given, what is expected, and what to do."""


class UngridError(Exception):
    """Base of every error that ungrid raises on purpose; the command prints it without a trace back."""


class InputError(UngridError, ValueError):
    """The caller's input cannot be used; the command exits with code 2."""

    def __init__(self, given: str, expected: str = "", remedy: str = "") -> None:
        self.given, self.expected, self.remedy = given, expected, remedy
        parts = (given, expected and f"expected {expected}", remedy)
        super().__init__("; ".join(part for part in parts if part))

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        return (type(self), (self.given, self.expected, self.remedy))


class MissingExtraError(InputError):
    """An optional dependency is not installed; the message names the extra that brings it."""
