"""Writing a project's masks in the formats that the library writes, and packing them for a download."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sam2v.app.annotation import Annotation
from sam2v.files import whole_file
from sam2v.output.writers import FORMATS, open_writer, remove_results


def export_folder(annotation: Annotation, format: str) -> Path:
    """Where a format's files are."""
    return annotation.folder / "exports" / format


def export_steps(annotation: Annotation, format: str) -> Iterator[None]:
    """Write all frames' masks in a format, a frame per step; all pages are told how far it is and when it is ready.

    Raises:
        ValueError: an unknown format, one that is being exported, or nothing to write. OSError: the disk refuses.
    """
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
    if not annotation.state.objects:
        raise ValueError("there is nothing to export: add an object first")
    if format in annotation.exporting:
        raise ValueError(f"{format} is being exported already: wait for it")
    annotation.exporting.add(format)
    try:
        yield from _written(annotation, format)
    except Exception:
        annotation.tell({"type": "exported", "format": format, "file": None})
        raise
    finally:
        annotation.exporting.discard(format)


def _written(annotation: Annotation, format: str) -> Iterator[None]:
    folder, length = export_folder(annotation, format), annotation.length
    remove_results(format, folder)
    classes = {obj_id: about.label for obj_id, about in annotation.state.objects.items() if about.label}
    with open_writer(format, folder, source=annotation.source, classes=classes) as writer:  # type: ignore[arg-type]
        for frame in range(length):
            result = annotation.result(frame)
            writer.write(result.with_frame(annotation.source[frame]) if writer.draws else result)
            if frame % 5 == 0:
                annotation.tell({"type": "exporting", "format": format, "frame": frame, "frames": length})
            yield
    name = pack(folder, annotation.folder / "exports", f"{Path(annotation.name).stem}-{format}")
    annotation.tell({"type": "exported", "format": format, "file": name, "folder": str(folder)})


def pack(folder: Path, target: Path, stem: str) -> str:
    """Make one file of what is in a folder: itself where it is one, else a zip; returns its name in `target`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    if len(files) == 1:
        name = f"{stem}{files[0].suffix}"
        with whole_file(target / name) as temporary:
            shutil.copyfile(files[0], temporary)
        return name
    name = f"{stem}.zip"
    with whole_file(target / name) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder).as_posix())
    return name
