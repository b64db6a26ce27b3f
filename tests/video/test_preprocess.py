import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sam2v.video.preprocess import MEAN, STD, preprocess


@pytest.fixture
def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)


def back_to_bytes(tensor: torch.Tensor) -> np.ndarray:
    """3 x S x S normalised -> S x S x 3 in 0 to 255."""
    scaled = tensor * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    return (scaled * 255).permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [32, 96])
def test_bicubic_is_pillows(frame: np.ndarray, size: int) -> None:
    result = preprocess(frame, size)
    assert result.shape == (1, 3, size, size) and result.dtype == torch.float32
    expected = np.array(Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(back_to_bytes(result[0]), expected, atol=1e-3)


def test_bilinear_is_antialiased_and_not_rounded(frame: np.ndarray) -> None:
    """Pillow's bilinear uses the same weights, but rounds to bytes after each direction."""
    values = back_to_bytes(preprocess(frame, 32, "bilinear")[0])
    expected = np.array(Image.fromarray(frame).resize((32, 32), Image.Resampling.BILINEAR))
    assert np.abs(values - expected).max() < 1.5
    assert np.abs(values - values.round()).mean() > 0.2


@pytest.mark.parametrize("filter", ["bicubic", "bilinear"])
def test_batches_tensors_and_lists_equal_single_arrays(frame: np.ndarray, filter: str) -> None:
    other = frame[::-1].copy()
    single = torch.cat([preprocess(frame, 48, filter), preprocess(other, 48, filter)])  # type: ignore[arg-type]
    batch = np.stack([frame, other])
    turned = batch.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3)  # not contiguous
    for frames in (
        batch,
        torch.from_numpy(batch),
        [frame, torch.from_numpy(other)],
        turned,
        batch[..., ::-1][..., ::-1],
    ):
        assert torch.equal(preprocess(frames, 48, filter), single)  # type: ignore[arg-type]


def test_a_plain_colour_stays_plain_and_the_input_is_not_changed() -> None:
    frame = np.full((20, 30, 3), (10, 128, 250), np.uint8)
    for filter in ("bicubic", "bilinear"):
        result = preprocess(frame, 64, filter)  # type: ignore[arg-type]
        expected = (torch.tensor([10, 128, 250]) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        torch.testing.assert_close(result, expected[None, :, None, None].expand(1, 3, 64, 64), atol=1e-5, rtol=0)
    assert (frame == (10, 128, 250)).all()


def test_bad_frames_are_refused(frame: np.ndarray) -> None:
    for bad, error, message in [
        (frame.astype(np.float32), TypeError, "uint8, got float32"),
        (frame[..., 0], ValueError, "H x W x 3"),
        (frame[..., :2], ValueError, "H x W x 3"),
        (frame[:0], ValueError, "H x W x 3"),
        ([], ValueError, "at least one frame"),
        (["a.jpg"], TypeError, "got str"),
    ]:
        with pytest.raises(error, match=message):
            preprocess(bad, 32)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'bicubic' or 'bilinear', got 'cubic'"):
        preprocess(frame, 32, "cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1"):
        preprocess(frame, 0)


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB"))


def test_video_fixture(shared_dir: Path) -> None:
    with np.load(shared_dir / "golden/public/video_sam2.1_hiera_tiny_i_one_click.npz") as data:
        meta, expected = json.loads(str(data["meta"])), data["op0/frame0_preprocessed"]
    frame = read(shared_dir / "data/bedroom" / Path(meta["frames"][0]).name)
    np.testing.assert_array_equal(preprocess(frame, meta["image_size"])[0, :, ::7, ::7].numpy(), expected)


def test_image_fixture(shared_dir: Path) -> None:
    with np.load(shared_dir / "golden/public/image_sam2.1_hiera_tiny.npz") as data:
        meta, expected = json.loads(str(data["meta"])), data["preprocessed"]
    frame = read(shared_dir / "data/images" / meta["image"])
    result = preprocess(frame, meta["image_size"], "bilinear")[0, :, ::31, ::31].numpy()
    np.testing.assert_allclose(result, expected, atol=1e-6)
