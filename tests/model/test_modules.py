"""Every part of the network against recorded outputs of the reference implementation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from golden.noise import noise
from golden.pictures import ellipse
from golden.replay import Fixture

from sam2v.model.memory_attention import MemoryTokens
from sam2v.model.network import Sam2Network
from sam2v.model.offered import gate_by_score
from sam2v.model.values import ImageFeatures, Prompts, TokenGroup, Wanted
from sam2v.nn.position import sine_grid, sine_scalar
from sam2v.nn.rotary import axial_rotation
from sam2v.tracking.step import prompt_with_mask

Load = Callable[[str], tuple[Fixture, Sam2Network]]
LOGITS, FEATURES = 1e-3, 1e-4


def seed_shift(fixture: Fixture) -> int:
    """The fixtures of SAM 2.0 were recorded with the seeds of 2.1 less 5000."""
    return 0 if fixture.meta["config"].startswith("sam2.1") else -5000


# -- prompt encoder ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 1024])
def test_points_and_positions(module_fixture: Load, size: int) -> None:
    fixture, network = module_fixture("prompt_encoder")
    encoder = network.sam_prompt_encoder
    coords, labels = (torch.from_numpy(fixture[f"points{size}/in_{part}"]) for part in ("coords", "labels"))
    padded = torch.cat([coords, torch.zeros(2, 1, 2)], 1), torch.cat([labels, -torch.ones(2, 1)], 1)
    tokens = encoder.encode_points(*(part.to(network.device) for part in padded), (size, size))
    fixture.check(f"points{size}/sparse", tokens, FEATURES)
    grid = (size // 16, size // 16)
    fixture.check(f"dense_pe{size}", encoder.dense_position(*grid)[0, ::7, ::3, ::3], FEATURES)
    fixture.check(f"points{size}/dense_one_pixel", encoder.encode_mask(None, 2, grid)[0, :, 0, 0], FEATURES)


def test_boxes(module_fixture: Load) -> None:
    fixture, network = module_fixture("prompt_encoder")
    corners = torch.from_numpy(fixture["boxes256/in"]).reshape(-1, 2, 2)
    labels = torch.tensor([[2, 3]] * 3, device=network.device)
    tokens = network.sam_prompt_encoder.encode_points(corners.to(network.device), labels, (256, 256))
    fixture.check("boxes256/sparse", tokens, FEATURES)


def test_points_with_a_box(module_fixture: Load) -> None:
    fixture, network = module_fixture("prompt_encoder")
    clicks, corners = fixture["points1024/in_coords"][:1] / 4, fixture["boxes256/in"][:1].reshape(1, 2, 2)
    coords = torch.from_numpy(np.concatenate([clicks, corners], axis=1))
    labels = torch.cat([torch.from_numpy(fixture["points1024/in_labels"][:1]), torch.tensor([[2.0, 3.0]])], dim=1)
    on_device = (coords.to(network.device), labels.to(network.device))
    tokens = network.sam_prompt_encoder.encode_points(*on_device, (256, 256))
    fixture.check("points_and_box256/sparse", tokens, FEATURES)


def test_mask_prompt(module_fixture: Load) -> None:
    fixture, network = module_fixture("prompt_encoder")
    mask = noise(25001 + seed_shift(fixture), 2, 1, 64, 64, scale=5).to(network.device)
    dense = network.sam_prompt_encoder.encode_mask(mask, 2, (16, 16))
    fixture.check("mask256/dense", dense[:, ::7, ::2, ::2], FEATURES)


# -- mask decoder ------------------------------------------------------------------------------------------------------

DECODER_CASES = [
    "multi",
    "single_dynamic",
    "single_dynamic_other",
    "single_dynamic_repeat_image",
    "multi_repeat_image",
    "multi_no_sparse_tokens",
    "single_static",
    "multi_64x64",
]


@pytest.mark.parametrize("name", DECODER_CASES)
def test_mask_decoder(module_fixture: Load, name: str) -> None:
    fixture, network = module_fixture("mask_decoder")
    case = fixture.meta["cases"][name]
    batch, seed, side = case["batch"], case["seed"], case["hw"]
    images = 1 if case["repeat_image"] else batch
    image = noise(seed, images, 256, side, side, scale=case["embedding_scale"])
    sparse = noise(seed + 1, batch, case["num_sparse_tokens"], 256, scale=case["token_scale"])
    dense = noise(seed + 2, batch, 256, side, side, scale=case["dense_scale"])
    stride4 = noise(seed + 3, images, 32, 4 * side, 4 * side, scale=case["highres_scale"])
    stride8 = noise(seed + 4, images, 64, 2 * side, 2 * side, scale=case["highres_scale"])
    position = network.sam_prompt_encoder.dense_position(side, side)
    inputs = (part.to(network.device) for part in (image, stride8, stride4, sparse, dense, position))
    raw = network.sam_mask_decoder(*inputs)
    masks, ious, _ = network._offer_masks(raw, Wanted(case["multimask_output"], case["dynamic"]))
    step = case["mask_stride"]
    fixture.check(f"{name}/masks", masks[:, :, ::step, ::step], LOGITS)
    fixture.check(f"{name}/ious", ious, FEATURES)
    fixture.check(f"{name}/object_score_logits", raw.object_score, FEATURES)
    fixture.check(f"{name}/tokens", raw.tokens[:, 1:] if case["multimask_output"] else raw.tokens[:, :1], FEATURES)
    if f"{name}/all4_ious" in fixture:
        fixture.check(f"{name}/all4_ious", raw.iou, FEATURES)


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [256, 1024])
def test_memory_encoder(module_fixture: Load, size: int) -> None:
    fixture, network = module_fixture("memory_encoder")
    side, step, seed = size // 16, {256: 1, 1024: 5}[size], 25700 + seed_shift(fixture)
    features, masks = noise(seed, 1, 256, side, side), noise(seed + 1, 1, 1, size, size, scale=4)
    features, masks = features.to(network.device), masks.to(network.device)
    for skip, shown in enumerate([masks.sigmoid(), masks]):
        out = network.memory_encoder(features, shown)[0, ::3, ::step, ::step]
        fixture.check(f"{size}/skip{skip}/features", out, FEATURES)
    fixture.check(f"{size}/pos", sine_grid(side, side, 64, network.device)[::3, ::step, ::step], FEATURES)


@pytest.mark.parametrize("prompted", [0, 1])
@pytest.mark.parametrize("binarize", [0, 1])
def test_write_memory(module_fixture: Load, prompted: int, binarize: int) -> None:
    fixture, network = module_fixture("memory_encoder")
    shift = seed_shift(fixture)
    tokens = noise(25712 + shift, 256, 2, 256)
    features = tokens.permute(1, 2, 0).unflatten(2, (16, 16))
    masks, scores = noise(25713 + shift, 2, 1, 256, 256, scale=3), torch.tensor([[2.5], [-1.5]])
    image = ImageFeatures(features.to(network.device), torch.empty(0), torch.empty(0))
    out = network.write_memory(image, masks.to(network.device), scores.to(network.device), bool(prompted and binarize))
    maps = out.transpose(1, 2).unflatten(2, (16, 16))
    fixture.check(f"new_memory/from_pts{prompted}_binarize{binarize}/features", maps[:, ::3], FEATURES)


@pytest.mark.parametrize("name", ["f1_p0", "f3_p8", "f7_p64_b2", "f2_p12_64x64"])
def test_memory_attention(module_fixture: Load, name: str) -> None:
    fixture, network = module_fixture("memory_attention")
    case = fixture.meta["cases"][name]
    seed, side, batch, pointers = case["seed"], case["hw"], case["batch"], case["num_obj_ptr_tokens"]
    cells, frames, device = side * side, case["memory_frames"], network.device
    current, position = noise(seed, cells, batch, 256), noise(seed + 1, cells, batch, 256)
    length = frames * cells + pointers
    memory, places = noise(seed + 2, length, batch, 64, scale=1.5), noise(seed + 3, length, batch, 64)
    keys, values = ((part.transpose(0, 1).to(device)) for part in (memory + places, memory))
    rotation = axial_rotation(side, side, 256, device)
    maps = (part[:, : frames * cells].unflatten(1, (frames, cells)) for part in (keys, values))
    rest = (part[:, frames * cells :, None] for part in (keys, values))
    groups = [MemoryTokens(*maps, rotation), MemoryTokens(*rest)]
    out = network.memory_attention((current + 0.1 * position).transpose(0, 1).to(device), rotation, groups)
    out = out.transpose(0, 1)
    fixture.check(f"{name}/out", out[:: 37 if side == 64 else 1, :, ::3], FEATURES)


# -- pieces ------------------------------------------------------------------------------------------------------------


def test_time_codes_of_pointers(module_fixture: Load) -> None:
    fixture, network = module_fixture("pieces")
    distance = torch.tensor([[0, 1, 2, 3, 7, 15, -4.0]]) / 15
    fixture.check("sine_1d_256", sine_scalar(distance[0], 256), FEATURES)
    group = TokenGroup(torch.zeros(1, 7, 4, 64, device=network.device), distance.to(network.device), False)
    codes = network._codes(group, (16, 16))[0, :, 0]
    if network.config.memory.obj_ptr_time_encoding:
        fixture.check("ptr_tpos_64", codes, FEATURES)
    else:
        assert not codes.any()


def piece_features(fixture: Fixture, device: torch.device) -> ImageFeatures:
    shift = seed_shift(fixture)
    stride4, stride8 = noise(25902 + shift, 1, 32, 64, 64), noise(25903 + shift, 1, 64, 32, 32)
    return ImageFeatures(*(level.to(device) for level in (noise(25901 + shift, 1, 256, 16, 16), stride8, stride4)))


@pytest.mark.parametrize("name", ["mask", "empty_mask"])
def test_mask_as_output(module_fixture: Load, name: str) -> None:
    fixture, network = module_fixture("pieces")
    drawn = ellipse("empty" if name == "empty_mask" else {"ellipse": [120, 130, 70, 50]}, 256, 256)
    mask = torch.from_numpy(drawn)[None, None].to(network.device)
    answer = prompt_with_mask(network, piece_features(fixture, network.device), mask).pick()
    fixture.check(f"{name}_as_output/low_res", answer.mask[0, 0, ::2, ::2], LOGITS)
    fixture.check(f"{name}_as_output/ious", answer.iou, FEATURES)
    fixture.check(f"{name}_as_output/obj_ptr", answer.pointer, FEATURES)
    fixture.check(f"{name}_as_output/object_score_logits", answer.object_score, FEATURES)


def test_mask_downsample(module_fixture: Load) -> None:
    fixture, network = module_fixture("pieces")
    out = network.mask_downsample(noise(25900 + seed_shift(fixture), 1, 1, 256, 256).to(network.device))
    fixture.check("mask_downsample", out[0, 0, ::3, ::3], FEATURES)


ONE, THREE, NONE = [[60, 70, 1]], [[60, 70, 1], [20, 200.5, 0], [130.25, 90, 1]], [[0, 0, -1]]


@pytest.mark.parametrize(
    ("name", "points", "multimask"),
    [
        ("heads_1pt_multi", ONE, True),
        ("heads_nopt_multi", NONE, True),
        ("heads_3pt_single", THREE, False),
        ("heads_1pt_mask256_single", ONE, False),
    ],
)
def test_decode_prompts(module_fixture: Load, name: str, points: list[list[float]], multimask: bool) -> None:
    fixture, network = module_fixture("pieces")
    device = network.device
    features = piece_features(fixture, device)
    prompt = torch.tensor([[*points, [0, 0, -1]]], dtype=torch.float32, device=device)
    mask = noise(25904 + seed_shift(fixture), 1, 1, 256, 256, scale=6).to(device) if "mask256" in name else None
    prompts = Prompts(prompt[..., :2], prompt[..., 2], mask)
    prediction = gate_by_score(network.decode_prompts(features, features.stride16, prompts, Wanted(multimask)))
    answer = prediction.pick()
    fixture.check(f"{name}/low_res", answer.mask[0, 0, ::2, ::2], LOGITS)
    if f"{name}/low_res_all" in fixture:
        fixture.check(f"{name}/low_res_all", prediction.masks[0, :, ::2, ::2], LOGITS)
    fixture.check(f"{name}/ious", prediction.iou, FEATURES)
    fixture.check(f"{name}/obj_ptr", answer.pointer, FEATURES)
    fixture.check(f"{name}/object_score_logits", prediction.object_score, FEATURES)
