"""What every room may use: errors, devices and threads, seeded generators, optional imports.

Import from the modules (``ungrid._base.errors``), so that rooms without torch stay without it.
"""
