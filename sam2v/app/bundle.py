"""The page's modules as one, for notebooks, which load a single module."""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export default .*;$", re.MULTILINE)


def bundled(entry: str = "annotator") -> str:
    """A module and everything that it imports, each in a scope of its own, as one module that exports `render`."""
    parts: dict[str, str] = {}
    _add(entry, parts)
    exported = f"export const render = {_scope(entry)}.render;\nexport default {{ render }};\n"
    return "\n".join([*parts.values(), exported])


def _add(name: str, parts: dict[str, str]) -> None:
    """Add a module after those that it imports."""
    if name in parts:
        return
    text = (STATIC / f"{name}.js").read_text(encoding="utf-8")
    for _, other in _IMPORT.findall(text):
        _add(other, parts)
    text = _DEFAULT.sub("", text)
    names = ", ".join(_EXPORT.findall(text))
    text = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_scope(found[2])};", _EXPORT.sub("", text))
    parts[name] = f"const {_scope(name)} = (() => {{\n{text}\nreturn {{ {names} }};\n}})();\n"


def _scope(name: str) -> str:
    return "from_" + name.replace("-", "_")
