"""The data card: what a data set is made of and how it was made, from the database."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sam2v.data_engine.database import pairs
from sam2v.data_engine.export_plan import ExportPlan
from sam2v.data_engine.project import Project
from sam2v.data_engine.schema import Annotator, Event, Masklet, Revision, Video
from sam2v.data_engine.scores import bucket_of
from sam2v.data_engine.status import PhaseCosts, costs_by_phase
from sam2v.files import write_text


def write_card(folder: Path, project: Project, plan: ExportPlan, failed: Mapping[str, str]) -> None:
    """Write DATA_CARD.md and data_card.json about the masklets of an export.

    Args:
        failed: videos that could not be read, with the reason.
    """
    facts = card_of(project, plan, failed)
    write_text(folder / "data_card.json", json.dumps(facts, indent=1) + "\n")
    write_text(folder / "DATA_CARD.md", _page(facts))


def card_of(project: Project, plan: ExportPlan, failed: Mapping[str, str]) -> dict[str, Any]:
    """Counts, sizes, disappearances, phases, models and times, as JSON holds them."""
    chosen = {
        video.name: {one.number for one in video.masklets}
        for videos in plan.videos.values()
        for video in videos
        if video.name not in failed
    }
    facts = project.database.read(lambda session: _facts(session, chosen))
    splits = {split: sum(video.name in chosen for video in videos) for split, videos in plan.videos.items()}
    return {"rate": project.settings.rate, "splits": splits, **facts, "unreadable": dict(failed)}


def _facts(session: Session, chosen: Mapping[str, set[int]]) -> dict[str, Any]:
    rows = select(Video.name, Masklet, Revision).join(Masklet, Masklet.video_id == Video.id)
    found = session.execute(rows.join(Revision, Revision.id == Masklet.revision_id)).all()
    kept = [(masklet, revision) for name, masklet, revision in found if masklet.number in chosen.get(name, ())]
    by_kind: dict[str, Any] = {}
    for kind in ("manual", "auto"):
        scores = [revision.scores for masklet, revision in kept if masklet.kind == kind]
        by_kind[kind] = _of_kind(scores)
    states = Counter(masklet.state for masklet, _ in kept)
    models = Counter(revision.model for _, revision in kept if revision.model)
    people = select(Annotator.kind, func.count()).group_by(Annotator.kind)
    verdicts = select(Event.after, func.count()).where(
        Event.task == "verify", Event.after.in_(("verified", "proposed"))
    )
    return {
        "masklets": by_kind,
        "states": dict(states),
        "verdicts": pairs(session, verdicts.group_by(Event.after)),
        "models": dict(models),
        "annotators": pairs(session, people),
        "phases": {phase: _of_phase(costs) for phase, costs in costs_by_phase(session).items()},
    }


def _of_kind(scores: list[dict[str, Any]]) -> dict[str, Any]:
    seen = [one for one in scores if one["seen"]]
    return {
        "count": len(scores),
        "masks": sum(one["seen"] for one in scores),
        "sizes": dict(Counter(bucket_of(one["area"]) for one in seen)),
        "mean_area": float(np.mean([one["area"] for one in seen])) if seen else None,
        "disappearing": float(np.mean([bool(one["returns"]) for one in seen])) if seen else None,
        "predicted_iou": float(np.mean([one["iou"] for one in seen])) if seen else None,
    }


def _of_phase(costs: PhaseCosts) -> dict[str, Any]:
    return {
        "masklets": costs.masklets,
        "frames": costs.frames,
        "edited_frames": costs.edited_share,
        "clicks_per_edited_frame": costs.clicks_per_edited_frame,
        "active_seconds_per_frame": costs.active_seconds / max(costs.frames, 1),
        "model_seconds_per_frame": costs.model_seconds / max(costs.frames, 1),
    }


def _page(facts: Mapping[str, Any]) -> str:
    lines = ["# Data card", "", f"Masks {facts['rate']:g} times a second.", ""]
    lines += ["| split | videos |", "|---|---|", *(f"| {name} | {count} |" for name, count in facts["splits"].items())]
    lines += ["", "| masklets | manual | automatic |", "|---|---|---|"]
    for key, name in (
        ("count", "number"),
        ("masks", "masks"),
        ("sizes", "small, medium, large"),
        ("mean_area", "mean area, pixels"),
        ("disappearing", "disappear and come back, %"),
        ("predicted_iou", "predicted IoU"),
    ):
        cells = (_cell(key, facts["masklets"][kind][key]) for kind in ("manual", "auto"))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "| phase | masklets | edited frames % | clicks per edited frame | active s a frame | model s a frame |",
    ]
    lines += ["|---|---|---|---|---|---|"]
    for phase, costs in facts["phases"].items():
        lines.append(
            f"| {phase} | {costs['masklets']} | {100 * costs['edited_frames']:.1f} | "
            f"{costs['clicks_per_edited_frame']:.2f} | {costs['active_seconds_per_frame']:.2f} | "
            f"{costs['model_seconds_per_frame']:.2f} |"
        )
    lines.append("")
    for title in ("states", "verdicts", "models", "annotators"):
        counted = ", ".join(f"{name}: {count}" for name, count in facts[title].items()) or "none"
        lines.append(f"- {title}: {counted}")
    if facts["unreadable"]:
        lines.append(f"- left out, since they cannot be read: {', '.join(facts['unreadable'])}")
    return "\n".join(lines) + "\n"


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key == "sizes":
        return ", ".join(str(value.get(size, 0)) for size in ("small", "medium", "large"))
    if key == "disappearing":
        return f"{100 * value:.1f}"
    return f"{value:.3g}" if isinstance(value, float) and value < 10 else f"{value:.0f}"
