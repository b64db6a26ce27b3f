"""Synthetic clips by number: a data set without files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sam2v.data.clips import Clip
from sam2v.data.synthetic.config import SyntheticConfig
from sam2v.data.synthetic.render import Sources, render

ATTEMPTS = 20


class SyntheticClips:
    """A map-style data set of procedural clips: clip `i` depends on the seed, the settings, the kind of device and
    `i` alone.

    Clips drawn together (`draw`) are rendered in one batch, on `device`; the clips stay there.

    Args:
        config: what clips look like.
        length: number of clips.
        seed: a whole number; different seeds give different data sets.
        sources: photographs and cutouts to use besides procedural textures.
        device: where to render.
    """

    def __init__(
        self,
        config: SyntheticConfig | None = None,
        length: int = 1_000_000,
        seed: int = 0,
        sources: Sources | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if length < 1 or seed < 0:
            raise ValueError(f"length={length}, seed={seed}: the length must be at least 1 and the seed at least 0")
        self.config = config or SyntheticConfig()
        self.length, self.seed = length, seed
        self.device = torch.device(device)
        given = sources or Sources()
        self.sources = Sources(
            *(None if part is None else part.to(self.device) for part in (given.photographs, given.cutouts))
        )

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        return self.draw([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Clip]:
        """Batched access, which torch's DataLoader prefers."""
        return self.draw(indices)

    def draw(self, indices: Sequence[int]) -> list[Clip]:
        """Render clips together.

        Returns:
            clips whose objects are all visible in the first frame; at least one object each.

        Raises:
            IndexError: an index outside 0 .. length - 1.
            ValueError: no object is large enough in any of 20 scenes.
        """
        for index in indices:
            if not 0 <= index < self.length:
                raise IndexError(f"clip {index}: the data set has clips 0 to {self.length - 1}")
        found: dict[int, Clip] = {}
        for attempt in range(ATTEMPTS):
            missing = [index for index in dict.fromkeys(indices) if index not in found]
            if not missing:
                break
            found.update(self._render(missing, attempt))
        if len(found) < len(set(indices)):
            raise ValueError(
                f"no object fills min_area={self.config.min_area} of the first frame in {ATTEMPTS} scenes: lower it"
            )
        return [found[index] for index in indices]

    def _render(self, indices: list[int], attempt: int) -> dict[int, Clip]:
        rngs = [np.random.default_rng([self.seed, index, attempt]) for index in indices]
        with torch.no_grad():
            frames, owners = render(rngs, self.config, self.sources, self.device)
        clips = {}
        for row, (index, rng) in enumerate(zip(indices, rngs, strict=True)):
            shown, owner = frames[row], owners[row]
            if self.config.reverse and rng.uniform() < self.config.reverse:
                shown, owner = shown.flip(0), owner.flip(0)
            masks = _choose_objects(owner, rng, self.config)
            if masks.shape[1]:
                clips[index] = Clip(shown, masks, name=f"synthetic-{self.seed}-{index}")
        return clips


def _choose_objects(owners: Tensor, rng: np.random.Generator, config: SyntheticConfig) -> Tensor:
    """T x M x H x W masks of up to `max_objects` bodies that are large enough in the first frame, in random order."""
    order = torch.from_numpy(rng.permutation(config.bodies)).to(owners.device)
    areas = (owners[0, None] == order[:, None, None]).sum((1, 2))
    chosen = order[areas >= max(1, config.min_area * owners[0].numel())][: config.max_objects]
    return owners[:, None] == chosen[None, :, None, None]
