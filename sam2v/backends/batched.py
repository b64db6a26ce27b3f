"""The network's calls as predictors make them, whoever computes: some rows after the others, within a bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sam2v.arrays import Array, Device, namespace
from sam2v.config import ModelConfig
from sam2v.model.calls import Calls
from sam2v.model.values import ImageFeatures, Prediction, Prompts, TokenGroup, Wanted

#: Bytes that a call of many rows may hold at a time, on the CPU and on other devices; and how many arrays as large as
#: a row's features it holds for every row.
_CPU_BYTES, _DEVICE_BYTES, _HELD = 1 << 30, 4 << 30, 24
#: Fewer at a time where the CPU decodes prompts, whose arrays are large and used once: with 3 rows of 64 x 64 x 256
#: features they took two thirds of the time that 10 took.
_CPU_DECODE_BYTES = 288 << 20


class BatchedCalls(ABC):
    """The network's calls in use, and what else predictors ask of a model.

    Attributes:
        image_only: whether the model's weights have no modules for tracking.
    """

    image_only: bool

    @property
    @abstractmethod
    def config(self) -> ModelConfig:
        """The network's sizes."""

    @property
    @abstractmethod
    def device(self) -> Device:
        """Where arrays come from and go to: a `torch.device`, or "cpu" for NumPy's."""

    @property
    @abstractmethod
    def on_cpu(self) -> bool:
        """Whether the CPU computes."""

    @property
    @abstractmethod
    def precision(self) -> str:
        """What images are encoded and memories are kept in: "float32", "float16" or "bfloat16"."""

    @property
    @abstractmethod
    def no_obj_ptr(self) -> Array:
        """The pointer of an object that is not there, 1 x C."""

    @property
    @abstractmethod
    def model(self) -> Any:
        """What it was made of, as predictors show it."""

    @property
    @abstractmethod
    def calls(self) -> Calls:
        """The calls, of any number of rows."""

    @abstractmethod
    def checksum(self) -> str:
        """Tells these weights from others."""

    def computing(self) -> AbstractContextManager[Any]:
        """What a call is made in."""
        return nullcontext()

    def encode_image(self, images: Array) -> ImageFeatures:
        """See `sam2v.model.network.Sam2Network.encode_image`."""
        with self.computing():
            return self.calls.encode_image(images)

    def without_memory(self, features: ImageFeatures) -> Array:
        """See `sam2v.model.network.Sam2Network.without_memory`."""
        with self.computing():
            return self.calls.without_memory(features)

    def read_memory(self, features: ImageFeatures, memory: Sequence[TokenGroup]) -> Array:
        """See `sam2v.model.network.Sam2Network.read_memory`."""

        def read(rows: slice) -> Array:
            some = [TokenGroup(*_some(group, rows)) for group in memory]
            return self.calls.read_memory(ImageFeatures(*_some(features, rows)), some)

        return self._together(self._in_parts(read, len(memory[0].tokens), features))

    def decode_prompts(
        self, features: ImageFeatures, conditioned: Array, prompts: Prompts, wanted: Wanted
    ) -> Prediction:
        """See `sam2v.model.network.Sam2Network.decode_prompts`."""

        def decode(rows: slice) -> Prediction:
            level, some = ImageFeatures(*_some(features, rows)), Prompts(*_some(prompts, rows))
            (read,) = _some([conditioned], rows)
            return self.calls.decode_prompts(level, read, some, wanted)

        parts = self._in_parts(decode, len(prompts.coords), features, _CPU_DECODE_BYTES)
        return Prediction(*map(self._together, zip(*parts, strict=True)))

    def point_to_mask(self, features: ImageFeatures, mask: Array) -> tuple[Array, Array]:
        """See `sam2v.model.network.Sam2Network.point_to_mask`."""

        def point(rows: slice) -> tuple[Array, Array]:
            return self.calls.point_to_mask(ImageFeatures(*_some(features, rows)), mask[rows])

        pointers, scores = zip(*self._in_parts(point, len(mask), features), strict=True)
        return self._together(pointers), self._together(scores)

    def write_memory(
        self, features: ImageFeatures, masks: Array, object_score: Array, binarize: bool | Array = False
    ) -> Array:
        """See `sam2v.model.network.Sam2Network.write_memory`."""

        def write(rows: slice) -> Array:
            some = _some([masks, object_score, binarize], rows)
            return self.calls.write_memory(ImageFeatures(*_some(features, rows)), *some)

        return self._together(self._in_parts(write, len(masks), features))

    def _in_parts(
        self, call: Callable[[slice], Any], rows: int, features: ImageFeatures, on_cpu: int | None = None
    ) -> list[Any]:
        """A call's answers for some rows after the others: what it holds in between stays bounded."""
        most = self._rows_at_once(features, on_cpu)
        with self.computing():
            return [call(slice(start, start + most)) for start in range(0, max(1, rows), most)]

    def _rows_at_once(self, features: ImageFeatures, on_cpu: int | None = None) -> int:
        """How many rows a call may have; `on_cpu` is another bound in bytes for where the CPU computes."""
        each = _HELD * features.stride16[0].nbytes
        return max(1, ((on_cpu or _CPU_BYTES) if self.on_cpu else _DEVICE_BYTES) // each)

    def _together(self, parts: Sequence[Array]) -> Array:
        """Rows one after the other."""
        if len(parts) == 1:
            return parts[0]
        with self.computing():
            return namespace(*parts).concat(list(parts))


def _some(parts: Iterable[Any], rows: slice) -> list[Any]:
    """Some rows of arrays; what is one for all rows, and what is no array, stays."""
    return [part[rows] if hasattr(part, "ndim") and len(part) > 1 else part for part in parts]
