"""Who is in the meadow: a fox, a child, a bird. Each is a function of its phase; facing right, feet at y = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sam2v.data.meadow.skeleton import bent, chain, step
from sam2v.data.meadow.solids import Body, Colour, Part, Point

_DARK: Colour = (0.05, 0.035, 0.03)


@dataclass(frozen=True)
class Coat:
    """An animal's colours: back, belly, and the ends of legs and ears."""

    back: Colour
    belly: Colour
    ends: Colour


@dataclass(frozen=True)
class Dress:
    """A child's colours."""

    coat: Colour
    hood: Colour
    trousers: Colour
    boots: Colour
    skin: Colour


FOX_STRIDE = 0.66
CHILD_STRIDE = 0.62


def fox(phase: float, coat: Coat) -> Body:
    """A trotting fox, 1.5 m with its tail; it goes `FOX_STRIDE` metres in a cycle."""
    turn = 2 * math.pi * phase
    bob, sway = 0.014 * math.cos(2 * turn), math.sin(turn)
    back, belly, ends = coat.back, coat.belly, coat.ends
    y = 0.45 + bob
    nod = 0.012 * math.sin(2 * turn + 0.8)
    head: Point = (0.50, y + 0.235 + nod, 0.0)
    parts = [
        Part((-0.27, y, 0), (0.0, y - 0.005, 0), (0.135, 0.125), back),
        Part((-0.12, y - 0.06, 0), (0.12, y - 0.06, 0), (0.07, 0.085), belly),
        Part((0.0, y - 0.005, 0), (0.25, y + 0.005, 0), (0.125, 0.15), back, under=belly),
        Part((0.27, y - 0.02, 0), (0.34, y + 0.0, 0), (0.14, 0.11), back, under=belly),
        Part((0.30, y + 0.06, 0), (0.45, y + 0.19, 0), (0.12, 0.085), back, under=belly),
        Part(head, (0.53, head[1] - 0.01, 0.01), (0.105, 0.09), back, under=belly),
        Part((0.545, head[1] - 0.04, 0.03), (0.60, head[1] - 0.055, 0.03), (0.07, 0.045), belly),
        Part((0.57, head[1] - 0.015, 0.02), (0.70, head[1] - 0.045, 0.02), (0.06, 0.032), back, under=belly),
        Part((0.72, head[1] - 0.035, 0.03), (0.725, head[1] - 0.035, 0.03), (0.026, 0.024), _DARK, gloss=0.5),
        Part((0.575, head[1] + 0.03, 0.085), (0.58, head[1] + 0.03, 0.085), (0.02, 0.019), _DARK, gloss=0.9),
        Part((0.455, head[1] + 0.07, 0.05), (0.425, head[1] + 0.19, 0.04), (0.058, 0.012), back, ends, flat=0.6),
        Part((0.50, head[1] + 0.07, -0.07), (0.49, head[1] + 0.18, -0.08), (0.052, 0.012), ends, ends, flat=0.6),
    ]
    wags = (0.1 * math.sin(turn - 0.5), 0.14 * math.sin(turn - 1.3) - 0.25, 0.18 * math.sin(turn - 2.1) - 0.3)
    tail = chain((-0.34, y + 0.03, 0.0), math.pi + 0.35, (0.17, 0.2, 0.22), wags)
    thick = (0.055, 0.095, 0.115, 0.03)
    colours = (back, back, back, belly)
    for k in range(3):
        parts.append(Part(tail[k], tail[k + 1], (thick[k], thick[k + 1]), colours[k], colours[k + 1], gloss=0.05))
    legs = ((-0.25, 0.0, 0.07, 1.0), (-0.25, 0.5, -0.09, 1.0), (0.25, 0.55, 0.07, -1.0), (0.25, 0.05, -0.09, -1.0))
    for at, offset, z, forward in legs:
        parts += _paw(at + 0.01 * sway, y - 0.06, phase + offset, z, forward, coat)
    return Body(parts, melt=0.03)


def _paw(at: float, hip: float, phase: float, z: float, forward: float, coat: Coat) -> list[Part]:
    """A leg of four: thigh, shank and paw; `forward` is the side to which its joint bends."""
    x, up = step(phase, FOX_STRIDE, 0.09, 0.5)
    is_hind = forward > 0
    foot: Point = (at + x + (0.02 if is_hind else 0.03), 0.035 + up, z)
    knee = bent((at, hip, z), foot, 0.2, 0.2, forward)
    back, ends = _dimmed(coat.back, z), _dimmed(coat.ends, z)
    return [
        Part((at, hip, z), knee, (0.1, 0.058) if is_hind else (0.085, 0.053), back),
        Part(knee, foot, (0.055, 0.037), back, ends),
        Part(foot, (foot[0] + 0.045, foot[1] - 0.005, z), (0.039, 0.033), ends),
    ]


def child(phase: float, dress: Dress) -> Body:
    """A walking child of 1.25 m in a raincoat with a hood; it goes `CHILD_STRIDE` metres in a cycle."""
    turn = 2 * math.pi * phase
    bob = 0.012 * math.cos(2 * turn)
    hip, shoulder, head = 0.55 + bob, 0.86 + bob, 1.07 + bob
    coat, hood, skin = dress.coat, dress.hood, dress.skin
    parts = [
        Part((-0.005, hip - 0.06, 0), (0.005, hip + 0.14, 0), (0.195, 0.165), coat),
        Part((0.005, hip + 0.12, 0), (0.015, shoulder - 0.03, 0), (0.165, 0.125), coat),
        Part((0.0, shoulder + 0.02, 0), (0.02, shoulder + 0.08, 0), (0.09, 0.09), hood),
        Part((0.07, head + 0.0, 0.03), (0.085, head - 0.02, 0.03), (0.105, 0.09), skin),
        Part((-0.02, head + 0.04, 0.03), (-0.03, head - 0.05, 0.02), (0.15, 0.115), hood),
        Part((-0.03, head + 0.09, 0), (-0.09, head + 0.14, 0), (0.12, 0.05), hood),
        Part((0.085, head + 0.105, 0.01), (0.02, head + 0.1, 0.03), (0.052, 0.1), hood),
        Part((0.165, head - 0.005, 0.05), (0.178, head - 0.01, 0.05), (0.027, 0.022), skin),
        Part((0.125, head + 0.03, 0.115), (0.126, head + 0.025, 0.115), (0.016, 0.016), _DARK, gloss=0.9),
    ]
    for z, offset in ((-0.08, 0.5), (0.07, 0.0)):
        parts += _leg(phase + offset, hip, z, dress) + _arm(turn + 2 * math.pi * offset, shoulder, z, dress)
    return Body(parts, melt=0.022)


def _leg(phase: float, hip: float, z: float, dress: Dress) -> list[Part]:
    x, up = step(phase, CHILD_STRIDE, 0.07)
    foot: Point = (x, 0.055 + up, z)
    knee = bent((0.0, hip, z), foot, 0.27, 0.27, -1.0)
    cloth, boot = (_dimmed(colour, z) for colour in (dress.trousers, dress.boots))
    return [
        Part((0, hip, z), knee, (0.09, 0.072), cloth),
        Part(knee, foot, (0.07, 0.058), cloth),
        Part((foot[0], foot[1] + 0.07, z), (foot[0] + 0.01, foot[1], z), (0.068, 0.06), boot),
        Part(foot, (foot[0] + 0.09, foot[1] - 0.012, z), (0.056, 0.043), boot),
    ]


def _arm(turn: float, shoulder: float, z: float, dress: Dress) -> list[Part]:
    swing = -0.7 * math.cos(turn) - 0.05
    root, elbow, hand = chain((0.0, shoulder - 0.04, 1.9 * z), swing - math.pi / 2, (0.19, 0.17), (0.0, 0.45))
    sleeve, glove = _dimmed(dress.coat, z), _dimmed(dress.boots, z)
    return [
        Part(root, elbow, (0.075, 0.062), sleeve),
        Part(elbow, hand, (0.062, 0.055), sleeve),
        Part(hand, (hand[0] + 0.02, hand[1] - 0.03, hand[2]), (0.047, 0.042), glove),
    ]


def _dimmed(colour: Colour, z: float) -> Colour:
    """A colour on the far side (z < 0), which lies in the body's shadow."""
    red, green, blue = colour
    return colour if z > 0 else (0.65 * red, 0.65 * green, 0.65 * blue)


def bird(phase: float, plumage: Coat) -> Body:
    """A big bird that beats its wings once in a cycle; its middle is at (0, 0)."""
    turn = 2 * math.pi * phase
    back, belly, ends = plumage.back, plumage.belly, plumage.ends
    y = -0.03 * math.sin(turn - 0.4)
    parts = [
        Part((-0.2, y - 0.01, 0), (0.1, y, 0), (0.055, 0.095), back, under=belly),
        Part((0.1, y, 0), (0.2, y + 0.04, 0), (0.095, 0.06), back, under=belly),
        Part((0.2, y + 0.04, 0), (0.31, y + 0.1, 0), (0.058, 0.05), back, under=belly),
        Part((0.33, y + 0.11, 0), (0.35, y + 0.11, 0), (0.062, 0.055), back, under=belly),
        Part((0.38, y + 0.105, 0), (0.51, y + 0.075, 0), (0.034, 0.01), (0.95, 0.55, 0.1), gloss=0.4),
        Part((0.365, y + 0.13, 0.05), (0.366, y + 0.13, 0.05), (0.014, 0.014), _DARK, gloss=0.9),
    ]
    for k, spread in enumerate((-0.05, 0.02, 0.09)):
        parts.append(Part((-0.18, y, 0.01 * k), (-0.46, y + spread, 0.01 * k), (0.045, 0.03), back, ends, flat=0.35))
    parts += _wing(turn, y, -1.0, plumage) + _wing(turn, y, 1.0, plumage)
    return Body(parts, melt=0.02)


def _wing(turn: float, y: float, side: float, plumage: Coat) -> list[Part]:
    """A wing's two bones and its feathers; `side` is 1 for the one nearer to the viewer."""
    first, second = 0.25 + 0.8 * math.sin(turn), 0.1 + 1.05 * math.sin(turn - 0.7)
    back, ends = _dimmed(plumage.back, side), _dimmed(plumage.ends, side)
    lean = -0.35 if side > 0 else 0.12

    def reach(root: Point, angle: float, length: float) -> Point:
        x, y, z = root
        return x + length * lean * math.cos(angle), y + length * math.sin(angle), z + side * 0.02

    shoulder: Point = (0.07, y + 0.06, 0.07 * side)
    wrist = reach(shoulder, first, 0.26)
    tip = reach(wrist, second, 0.3)
    parts = [
        Part(shoulder, wrist, (0.055, 0.042), back, flat=0.6),
        Part(wrist, tip, (0.042, 0.022), back, ends, flat=0.6),
    ]
    for k in range(5):
        share = k / 4
        root = _between(shoulder, wrist, share)
        end = (root[0] - 0.2 - 0.02 * k, root[1] - 0.03 + 0.08 * share * math.sin(first), root[2] - 0.02)
        parts.append(Part(root, end, (0.045, 0.036), back, flat=0.3))
        root = _between(wrist, tip, share)
        end = (root[0] - 0.22 + 0.13 * share, root[1] + (0.07 + 0.12 * share) * math.sin(second), root[2] - 0.02)
        parts.append(Part(root, end, (0.04, 0.024), back, ends, flat=0.3))
    return parts


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])
