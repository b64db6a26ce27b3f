"""A Kalman filter of a box that moves at constant velocity (as in SORT-like trackers; SAMURAI, section 4.1).

The state is centre x, centre y, aspect (width over height) and height, each with its velocity. No coordinate enters
another one's prediction or measurement, so that the filter is four independent ones of two values each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Standard deviations: of positions and velocities in heights of the box, of the aspect and its velocity by themselves.
_POSITION, _VELOCITY, _ASPECT, _ASPECT_VELOCITY = 1 / 20, 1 / 160, 1e-2, 1e-5
_MEASURED_ASPECT = 1e-1


@dataclass(frozen=True)
class BoxFilter:
    """A box with its velocity.

    Attributes:
        mean: 4 x 2, values and velocities of (centre x, centre y, aspect, height), lengths in pixels.
        covariance: 4 x 2 x 2.
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def at(cls, box: np.ndarray) -> BoxFilter:
        """A box (x0, y0, x1, y1) that was seen once, at rest."""
        values = _values(box)
        spread = _deviations(values[3], 2.0, 10.0)
        return cls(np.stack([values, np.zeros(4)], axis=1), spread[:, :, None] ** 2 * np.eye(2))

    @property
    def box(self) -> np.ndarray:
        """(x0, y0, x1, y1)."""
        x, y, aspect, height = self.mean[:, 0]
        width, height = max(aspect, 0.0) * max(height, 0.0), max(height, 0.0)
        return np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])

    def predicted(self) -> BoxFilter:
        """One frame later."""
        forward = np.array([[1.0, 1.0], [0.0, 1.0]])
        noise = _deviations(self.mean[3, 0], 1.0, 1.0)[:, :, None] ** 2 * np.eye(2)
        return BoxFilter(self.mean @ forward.T, forward @ self.covariance @ forward.T + noise)

    def updated(self, box: np.ndarray) -> BoxFilter:
        """With a box that was measured."""
        noise = np.full(4, _POSITION * abs(self.mean[3, 0])) ** 2
        noise[2] = _MEASURED_ASPECT**2
        gain = self.covariance[:, :, 0] / (self.covariance[:, 0, 0] + noise)[:, None]
        mean = self.mean + gain * (_values(box) - self.mean[:, 0])[:, None]
        return BoxFilter(mean, self.covariance - gain[:, :, None] * self.covariance[:, :1, :])


def _values(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / (y1 - y0), y1 - y0])


def _deviations(height: float, position: float, velocity: float) -> np.ndarray:
    """4 x 2 standard deviations of values and velocities."""
    length = [position * _POSITION * abs(height), velocity * _VELOCITY * abs(height)]
    return np.array([length, length, [_ASPECT, _ASPECT_VELOCITY], length])
