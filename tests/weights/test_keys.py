"""Names of the transformers port against the released ones."""

import pytest
import torch
from golden.weights import manifests
from torch import Tensor

from sam2v.weights.keys import (
    MEMORY_PREFIXES,
    detect_layout,
    from_transformers,
    is_image_only,
    to_transformers,
)

SIZES = {  # (channels, heads, blocks per stage, global blocks, position grid, windows)
    "tiny": (96, 1, [1, 2, 7, 2], [5, 7, 9], [7, 7], [8, 4, 14, 7]),
    "small": (96, 1, [1, 2, 11, 2], [7, 10, 13], [7, 7], [8, 4, 14, 7]),
    "base_plus": (112, 2, [2, 3, 16, 3], [12, 16, 20], [14, 14], [8, 4, 14, 7]),
    "large": (144, 2, [2, 6, 36, 4], [23, 33, 43], [7, 7], [8, 4, 16, 8]),
}


def distinct(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Entries that tell where they came from."""
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("config", manifests())
def test_round_trip(config: str) -> None:
    released = distinct(manifests()[config])
    ported = to_transformers(released)
    assert detect_layout(released) == "released"
    assert detect_layout(ported) == "transformers"
    back = from_transformers(ported)
    assert set(back) == set(released)
    for name, value in released.items():
        assert back[name].shape == value.shape
        assert back[name].flatten()[0] == value.flatten()[0], name


def test_no_name_is_left_as_it_was() -> None:
    ported = to_transformers(distinct(manifests()["sam2.1_hiera_tiny"]))
    same = {name for name in ported if name in manifests()["sam2.1_hiera_tiny"]}
    shared = ("mask_downsample.", "memory_attention.layers")  # the port keeps these
    assert {name for name in same if not name.startswith(shared)} == set()


def test_image_only_is_all_or_nothing() -> None:
    names = set(manifests()["sam2.1_hiera_tiny"])
    memory = {name for name in names if name.startswith(MEMORY_PREFIXES)}
    assert is_image_only(memory, names)
    assert not is_image_only(memory - {"no_obj_ptr"}, names)
    assert not is_image_only(memory | {"no_mem_embed"}, names)
    assert not is_image_only(set(), names)


def test_two_fourier_matrices() -> None:
    image, points = (
        "shared_image_embedding.positional_embedding",
        "prompt_encoder.shared_embedding.positional_embedding",
    )
    renamed = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
    assert torch.equal(from_transformers({image: torch.ones(2, 4)})[renamed], torch.ones(2, 4))
    with pytest.warns(UserWarning, match="differ"):
        out = from_transformers({image: torch.ones(2, 4), points: torch.zeros(2, 4)})
    assert torch.equal(out[renamed], torch.zeros(2, 4))


def test_bad_point_embeddings_and_unknown_names() -> None:
    with pytest.raises(ValueError, match="must be 4 x C, not 3 x 8"):
        from_transformers({"prompt_encoder.point_embed.weight": torch.zeros(3, 8)})
    assert list(from_transformers({"lora.a": torch.zeros(1)})) == ["lora.a"]
    assert detect_layout({"lora.a": torch.zeros(1)}) == "unknown"


def ported_models(size: str, version: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of the installed transformers' two models, without memory behind them."""
    transformers = pytest.importorskip("transformers", minversion="4.57")
    channels, heads, blocks, global_blocks, grid, windows = SIZES[size]
    trunk = {
        "hidden_size": channels,
        "num_attention_heads": heads,
        "blocks_per_stage": blocks,
        "embed_dim_per_stage": [channels * 2**i for i in range(4)],
        "num_attention_heads_per_stage": [heads * 2**i for i in range(4)],
        "global_attention_blocks": global_blocks,
        "window_positional_embedding_background_size": grid,
        "window_size_per_stage": windows,
    }
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **trunk},
        "backbone_channel_list": [channels * 2**i for i in (3, 2, 1, 0)],
    }
    new = version == "sam2.1"
    video = transformers.Sam2VideoConfig(
        vision_config={"model_type": "sam2_vision_model", **vision},
        enable_occlusion_spatial_embedding=new,
        enable_temporal_pos_encoding_for_object_pointers=new,
    )
    image = transformers.Sam2Config(vision_config={"model_type": "sam2_vision_model", **vision})
    with torch.device("meta"):
        return transformers.Sam2VideoModel(video).state_dict(), transformers.Sam2Model(image).state_dict()


@pytest.mark.peers
@pytest.mark.parametrize("version", ["sam2", "sam2.1"])
@pytest.mark.parametrize("size", SIZES)
def test_against_the_installed_transformers(size: str, version: str) -> None:
    expected = {name: tuple(shape) for name, shape in manifests()[f"{version}_hiera_{size}"].items()}
    for state_dict in ported_models(size, version):
        empty = {name: torch.zeros(()).expand(value.shape) for name, value in state_dict.items()}
        renamed = {name: tuple(value.shape) for name, value in from_transformers(empty).items()}
        assert set(renamed) <= set(expected)
        assert all(expected[name] == shape for name, shape in renamed.items())
        missing = set(expected) - set(renamed)
        if "no_memory_positional_encoding" in state_dict:
            assert not missing
            assert set(to_transformers(distinct(dict(manifests()[f"{version}_hiera_{size}"])))) == set(state_dict)
        else:
            assert is_image_only(missing, set(expected))
