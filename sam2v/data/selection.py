"""Which records of a data set take part: by patterns of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from sam2v.data.records import ImageRecord, Records, VideoRecord

Record = TypeVar("Record", VideoRecord, ImageRecord)
#: The largest weight of a record, and names that weights may make.
_MOST_WEIGHT, _MOST_NAMES = 1000, 1 << 24


def select_names(names: Sequence[str], only: Sequence[str] = (), without: Sequence[str] = ()) -> list[str]:
    """The names that match a pattern of `only` (all, if there is none) and no pattern of `without`, in order.

    Patterns are shell-style: `bear`, `mallard-*`, `*7`.

    Raises:
        ValueError: a pattern that matches nothing, or nothing is left.
    """
    for pattern in (*only, *without):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"{pattern!r} matches none of {len(names)} names, which are like {names[0]!r}")
    kept = [
        name
        for name in names
        if (not only or any(fnmatchcase(name, pattern) for pattern in only))
        and not any(fnmatchcase(name, pattern) for pattern in without)
    ]
    if not kept:
        raise ValueError(f"only={list(only)} without={list(without)} leaves none of {len(names)} names")
    return kept


def select_records(records: Records[Record], only: Sequence[str] = (), without: Sequence[str] = ()) -> Records[Record]:
    """The records whose names `select_names` keeps."""
    return records.select(select_names(records.names, only, without)) if only or without else records


def repeated_names(names: Sequence[str], weights: Mapping[str, float], shares: int = 8) -> list[str]:
    """The names, each about as often as its weight says: `shares` times at weight 1, once at least.

    Args:
        names: of all records.
        weights: name -> weight; names without one weigh 1.
        shares: how finely weights are told apart.

    Raises:
        ValueError: a weight that is no number from 0 to 1000, weights of other names only, or too many names.
    """
    if weights and not set(weights) & set(names):
        raise ValueError(f"none of {len(weights)} weights is of one of {len(names)} names, which are like {names[0]!r}")
    counts = []
    for name in names:
        weight = weights.get(name, 1.0)
        if not isinstance(weight, int | float) or not 0 <= weight <= _MOST_WEIGHT:
            raise ValueError(f"the weight of {name} is {weight!r:.60}: must be a number from 0 to {_MOST_WEIGHT}")
        counts.append(max(1, round(shares * weight)))
    if sum(counts) > _MOST_NAMES:
        raise ValueError(f"the weights repeat {len(names)} names {sum(counts)} times, more than {_MOST_NAMES}")
    return [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
