"""``python -m ungrid``: the command."""

from ungrid.cli import main

main()
