import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sam2v.video.fit import aspect_size, fit, fit_on_device


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (64, 128), (45, 64)])
def test_it_is_pillows_bicubic(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    for given_frame in (frame, frame[:, ::-1], frame.transpose(1, 0, 2)):
        result = fit(given_frame, size)
        expected = Image.fromarray(np.ascontiguousarray(given_frame)).resize(size[::-1], Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(result, np.asarray(expected))
        assert result.shape == (*size, 3) and result.dtype == np.uint8 and result.flags.writeable


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (64, 128), (45, 64)])
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_on_a_device_it_is_nearly_the_same(size: tuple[int, int], kind: Callable) -> None:
    """Up to rounding; a wrong filter or place is off by tens."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 45, 70, 3), dtype=np.uint8)
    found = fit_on_device(kind(frames), size)
    assert type(found) is type(kind(frames)) and found.shape == (2, *size, 3)
    difference = np.asarray(found).astype(int) - np.stack([fit(frame, size) for frame in frames])
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.01


def test_what_fits_is_left_as_it_is() -> None:
    frame = np.zeros((64, 96, 3), np.uint8)
    assert fit(frame, (64, 96)) is frame
    frames = torch.from_numpy(frame[None])
    assert fit_on_device(frames, (64, 96)) is frames


def test_video_fixture(shared_dir: Path) -> None:
    """A frame as the reference had it: its mean and deviation are those of ImageNet."""
    with np.load(shared_dir / "golden/public/video_sam2.1_hiera_tiny_i_one_click.npz") as data:
        meta, expected = json.loads(str(data["meta"])), data["op0/frame0_preprocessed"]
    frame = np.array(Image.open(shared_dir / "data/bedroom" / Path(meta["frames"][0]).name).convert("RGB"))
    fitted = fit(frame, (meta["image_size"], meta["image_size"]))[::7, ::7].transpose(2, 0, 1)
    mean, deviation = ([[[v]] for v in values] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    np.testing.assert_array_equal(np.round((expected * deviation + mean) * 255), fitted)


@pytest.mark.parametrize(
    ("video", "longest", "expected"),
    [
        ((1080, 1920), 1024, (576, 1024)),
        ((1920, 1080), 1024, (1024, 576)),
        ((480, 854), 1024, (576, 1024)),
        ((480, 640), 384, (288, 384)),
        ((500, 500), 1024, (1024, 1024)),
        ((100, 5000), 512, (32, 512)),
        ((800, 1920), 384, (160, 384)),
        ((93, 2048), 1024, (64, 1024)),  # 46.5: by the ratio nearer to 64 than to 32
    ],
)
def test_the_aspect_is_kept(video: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    assert aspect_size(video, longest) == expected


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 40))
def test_no_other_size_is_nearer(height: int, width: int, steps: int) -> None:
    longest = 32 * steps
    size = aspect_size((height, width), longest)
    assert max(size) == longest and min(size) >= 32 and not size[0] % 32 and not size[1] % 32
    wanted, found = min(height, width) / max(height, width), min(size) / longest
    others = [32 * k / longest for k in range(1, steps + 1)]
    assert max(wanted / found, found / wanted) <= min(max(wanted / o, o / wanted) for o in others) + 1e-9


def test_impossible_sizes() -> None:
    for longest in (0, -32, 16, 1000):
        with pytest.raises(ValueError, match="positive multiple of 32"):
            aspect_size((480, 640), longest)
    assert aspect_size((480, 640), 1000, multiple=8) == (752, 1000)
