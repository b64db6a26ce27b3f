"""The numbers of a live stream's frames, which its caller may choose, and the positions at which they came."""

from __future__ import annotations

from collections.abc import Collection


class Numbering:
    """Numbers of frames, ascending in the order in which they came; those of frames that nothing is known of are
    forgotten.

    Memories are read by position: the frame before is the one that came before, whatever its number.

    Attributes:
        upcoming: the smallest number that the next frame may have.
        count: frames that came. oldest: position of the oldest frame that is still at hand.
    """

    def __init__(self, numbers: dict[int, int] | None = None, upcoming: int = 0, count: int = 0) -> None:
        self._numbers = dict(numbers or {})  # position -> number
        self._positions = {number: position for position, number in self._numbers.items()}
        self.upcoming, self.count, self.oldest = upcoming, count, min(self._numbers, default=0)

    @property
    def numbers(self) -> dict[int, int]:
        """Numbers by position."""
        return self._numbers

    def add(self, number: int | None) -> int:
        """Take the next frame's number, by default the next one; returns its position.

        Raises:
            ValueError: the number is not above the earlier ones.
        """
        number = self.check(number)
        position, self.count = self.count, self.count + 1
        self._numbers[position], self._positions[number] = number, position
        self.upcoming = number + 1
        return position

    def check(self, number: int | None) -> int:
        """The number that the next frame will have; raises ValueError as `add`."""
        if number is None:
            return self.upcoming
        if number < self.upcoming:
            newest = f"the newest has number {self.upcoming - 1}" if self.count else "numbers start at 0"
            raise ValueError(f"frame_idx {number}: frames of a stream are numbered upwards, and {newest}")
        return number

    def number(self, position: int) -> int:
        """The number of the frame at a position (the position itself where there are no numbers)."""
        return self._numbers.get(position, position)

    def position(self, number: int) -> int:
        """The position of the frame with a number.

        Raises:
            ValueError: no such frame, or nothing is known of it any more.
        """
        if number in self._positions:
            return self._positions[number]
        if number >= self.upcoming:
            newest = f"the newest is {self.upcoming - 1}" if self.count else "none has arrived yet"
            raise ValueError(f"frame {number} has not arrived yet; {newest}")
        oldest = self.number(self.oldest)
        if number >= oldest:
            raise ValueError(f"frame {number} never came: the stream's frames are numbered otherwise")
        raise ValueError(
            f"frame {number} has left the stream's window: frames {oldest} to {self.upcoming - 1} can be prompted"
            f" (init_state(None, window=...) keeps more)"
        )

    def drop(self, oldest: int, known: Collection[int]) -> None:
        """Forget the numbers of positions before `oldest`, but for those in `known`."""
        self.oldest = oldest
        for position in [p for p in self._numbers if p < oldest and p not in known]:
            del self._positions[self._numbers.pop(position)]

    def copy(self) -> Numbering:
        """The same numbers."""
        return Numbering(self._numbers, self.upcoming, self.count)
