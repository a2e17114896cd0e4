"""The command `ungrid`."""


def main() -> None:
    """Entry point."""
