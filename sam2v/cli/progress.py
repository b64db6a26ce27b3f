"""What a progress bar says about a running track."""

from __future__ import annotations

import sys
from pathlib import Path


def resident_megabytes() -> float:
    """Memory this process occupies now, in MB (its peak where the system does not tell)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        import os

        return int(statm.read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
