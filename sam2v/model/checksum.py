"""A checksum of a network's weights."""

from __future__ import annotations

import zlib

from torch import nn

from sam2v.arrays import packed_bytes


def weights_checksum(network: nn.Module) -> str:
    """Tells one model's weights from another's."""
    total = 0
    for value in network.state_dict().values():
        total = zlib.crc32(packed_bytes(value), total)
    return f"{total:08x}"
