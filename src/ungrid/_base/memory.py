"""Memory of this process and of the machine, in bytes."""

import os
import sys


def peak_memory() -> float:
    """The most that this process has held, 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(most if sys.platform == "darwin" else 1024 * most)


def obtainable_memory() -> float:
    """What a process can get: what is free, or four fifths of all, if that is more; infinite where the system does not say."""
    if not hasattr(os, "sysconf") or "SC_AVPHYS_PAGES" not in os.sysconf_names:
        return float("inf")
    free, total = (os.sysconf("SC_PAGE_SIZE") * os.sysconf(name) for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    return max(free, 0.8 * total)
