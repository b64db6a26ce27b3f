"""What `benchmarks.gpu` found, as JSON, a table and a picture."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from benchmarks.common import table
from benchmarks.report import Bars, draw_bars, short
from sam2v.files import whole_file, write_text

_HEAD = ["case", "frames/s", "ms", "first mask s", "host reads", "kernels", "busy ms", "of peak", "MB"]


def write_report(folder: Path, known: dict[str, Any]) -> None:
    """Write gpu.json, gpu.md and, with matplotlib, gpu.png; each is replaced when it is whole."""
    cases = known["cases"]
    write_text(folder / "gpu.json", json.dumps(known, indent=1) + "\n")
    write_text(folder / "gpu.md", _page(cases))
    groups = list(_groups(cases))
    if groups and importlib.util.find_spec("matplotlib"):
        with whole_file(folder / "gpu.png") as path:
            draw_bars(path, groups, _about(cases), "frames per second, memory bank full")


def _page(cases: dict[str, Any]) -> str:
    """The table and what else there is to say."""
    tracked = {name: found for name, found in cases.items() if "frames_per_s" in found and name != "decode"}
    lines = [_about(cases), ""]
    if tracked:
        lines += [table(_HEAD, [[name, *_cells(name, found, cases)] for name, found in tracked.items()]), ""]
    if rates := cases.get("decode", {}).get("frames_per_s"):
        lines += ["Decoded and fitted, frames/s by threads that fit: "]
        lines[-1] += ", ".join(f"{threads}: {rate:.0f}" for threads, rate in rates.items())
        lines += [""]
    checked = {name: found["checked"] for name, found in cases.items() if "checked" in found}
    lines += [f"- {name}: the same answers ({len(names)} recordings)" for name, names in checked.items()]
    lines += [f"- {name}: failed, {found['failure']}" for name, found in cases.items() if "failure" in found]
    lines += [f"- {name}: left out, {found['left_out']}" for name, found in cases.items() if "left_out" in found]
    return "\n".join(lines) + "\n"


def _about(cases: dict[str, Any]) -> str:
    facts = cases.get("machine", {})
    if "machine" not in facts:
        return "The machine is not known yet."
    return f"{facts['machine']}; products: {facts['product_gflop_per_s'] / 1000:.1f} TFLOP/s"


def _cells(name: str, found: dict[str, Any], cases: dict[str, Any]) -> list[str]:
    """A case's numbers."""
    kernels, share = found.get("kernels"), _share(name, found, cases)
    return [
        short(found["frames_per_s"]),
        short(found["ms"]),
        f"{found['first_mask_s']:.1f}",
        f"{found['host_reads']:.0f}" if "host_reads" in found else "",
        f"{kernels['kernels']:.0f}" if kernels else "",
        f"{kernels['busy_ms']:.1f}" if kernels else "",
        "" if share is None else f"{share:.0%}",
        f"{found['peak_mb']:.0f}",
    ]


def _share(name: str, found: dict[str, Any], cases: dict[str, Any]) -> float | None:
    """Share of the best product that a case of sam2v reaches, by the operations of the same case without graphs."""
    case, _, mode = name.rpartition(", ")
    work = cases.get(f"{case}, eager", {}).get("gflop")
    peak = cases.get("machine", {}).get("product_gflop_per_s")
    return None if mode == "sam2" or not work or not peak else work / (found["ms"] / 1000) / peak


def _groups(cases: dict[str, Any]) -> list[Bars]:
    """Bars of the modes beside each other, a group for every model and number of objects and videos."""
    groups: dict[str, Bars] = {}
    for name, found in cases.items():
        if "frames_per_s" in found and name != "decode":
            case, _, mode = name.rpartition(", ")
            groups.setdefault(case, Bars(case, {})).values[mode] = found["frames_per_s"]
    return list(groups.values())
