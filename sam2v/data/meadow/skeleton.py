"""Joints: legs that step on the ground they stand on, and chains that swing."""

from __future__ import annotations

import math

from sam2v.data.meadow.solids import Point


def bent(root: Point, tip: Point, upper: float, lower: float, forward: float) -> Point:
    """Where the joint between two bones is, so that they reach from root to tip.

    Args:
        root, tip: ends (x, y, z).
        upper, lower: the bones' lengths; a tip out of reach is taken as far as they go.
        forward: the side to which the joint bends, 1: to the right of somebody who looks from root to tip, or -1.
    """
    dx, dy = tip[0] - root[0], tip[1] - root[1]
    span = min(max(math.hypot(dx, dy), 1e-6), 0.999 * (upper + lower))
    along = (span * span + upper * upper - lower * lower) / (2 * span)
    aside = forward * math.sqrt(max(0.0, upper * upper - along * along))
    ux, uy = dx / math.hypot(dx, dy), dy / math.hypot(dx, dy)
    return root[0] + ux * along - uy * aside, root[1] + uy * along + ux * aside, (root[2] + tip[2]) / 2


def step(phase: float, stride: float, lift: float, standing: float = 0.55) -> tuple[float, float]:
    """Where a foot is, (forward, up), relative to below its hip: on the ground it moves back as the body goes on.

    Args:
        phase: of the step, in cycles. stride: metres that the body goes in a cycle.
        lift: metres that the foot is raised at most.
        standing: share of the cycle in which it stands.
    """
    phase %= 1.0
    reach = stride * standing / 2
    if phase < standing:
        return reach - stride * phase, 0.0
    swing = (phase - standing) / (1 - standing)
    return reach * -math.cos(math.pi * swing), lift * math.sin(math.pi * swing)


def chain(root: Point, angle: float, lengths: tuple[float, ...], bends: tuple[float, ...]) -> list[Point]:
    """Points of a chain in the picture's plane, each link turned by a bend from the one before; angles in radians."""
    points = [root]
    for length, bend in zip(lengths, bends):
        angle += bend
        x, y, z = points[-1]
        points.append((x + length * math.cos(angle), y + length * math.sin(angle), z))
    return points
