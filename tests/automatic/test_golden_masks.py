"""Automatic masks against what the reference's generator was recorded to find."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from automatic.comparing import assert_same
from golden.pictures import checksum, photograph
from models import nano_by_rule

from sam2v.compat import SAM2AutomaticMaskGenerator
from sam2v.model.network import Sam2Network

SPEC = json.loads((Path(__file__).parent.parent / "golden" / "automatic.json").read_text())


@lru_cache(maxsize=1)
def network(salt: str) -> Sam2Network:
    return nano_by_rule(salt, [f"model.image_size={SPEC['image_size']}"])


@pytest.mark.parametrize("case", SPEC["cases"], ids=lambda case: case["name"])
def test_masks_are_those_of_the_reference(case: dict[str, Any]) -> None:
    picture = photograph(*SPEC["picture"])
    assert checksum(picture) == SPEC["checksum"]
    generator = SAM2AutomaticMaskGenerator(network(case["salt"]), **{"output_mode": "coco_rle", **case["options"]})
    assert len(case["masks"]) > 1
    assert_same(generator.generate(picture), case["masks"])
