"""Shows the Sphinx roles of docstrings (:class:`sam2v.VideoPredictor`) as plain code in the built documentation."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

_ROLE = re.compile(r":(?:class|meth|func|attr|data|mod):`~?([^`]+)`")


class Roles(Extension):
    """A Griffe extension; mkdocstrings loads it by this file's name."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(r"`\1`", obj.docstring.value)
