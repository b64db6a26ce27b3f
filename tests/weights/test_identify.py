"""Strict loading, and finding the configuration that fits."""

import pytest
import torch
from golden.weights import manifests, weights_by_rule

from sam2v.config import list_model_configs, load_model_config
from sam2v.model.build import build_model
from sam2v.weights.identify import config_shapes, fitting_configs, load_strictly


def light(config: str) -> dict[str, torch.Tensor]:
    """A state dict of the right shapes that takes no memory."""
    return {name: torch.zeros(()).expand(shape) for name, shape in manifests()[config].items()}


@pytest.mark.parametrize("config", manifests())
def test_names_shapes_and_order_are_the_released_ones(config: str) -> None:
    own = config_shapes(config)
    assert {name: list(shape) for name, shape in own.items()} == manifests()[config]


@pytest.mark.parametrize("config", ["sam2_hiera_small", "sam2.1_hiera_tiny", "sam2.1_hiera_large"])
def test_fitting_configuration(config: str) -> None:
    assert fitting_configs(light(config)) == [config]


def test_every_configuration_is_told_from_the_others() -> None:
    shapes = [tuple(sorted(config_shapes(name).items())) for name in list_model_configs()]
    assert len(set(shapes)) == len(shapes)


def test_strict_load_into_real_and_meta_networks() -> None:
    weights = weights_by_rule({name: list(shape) for name, shape in config_shapes("sam2v_nano").items()})
    for device in ("cpu", "meta"):
        network = build_model(load_model_config("sam2v_nano"), device=device)
        assert not load_strictly(network, weights, "w.pt")
        for name, value in network.state_dict().items():
            assert torch.equal(value, weights[name])
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_files_become_float32_parameters() -> None:
    weights = weights_by_rule({name: list(shape) for name, shape in config_shapes("sam2v_nano").items()})
    for device in ("cpu", "meta"):
        network = build_model(load_model_config("sam2v_nano"), device=device)
        load_strictly(network, {name: value.half() for name, value in weights.items()}, "w.pt")
        assert {value.dtype for value in network.state_dict().values()} == {torch.float32}


def test_one_error_names_everything_that_does_not_fit() -> None:
    network = build_model(load_model_config("sam2v_nano"))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = {name: torch.zeros_like(value) for name, value in before.items()}
    del weights["no_obj_ptr"]
    weights["lora.a"] = torch.zeros(1)
    weights["mask_downsample.bias"] = torch.zeros(2)
    with pytest.raises(ValueError) as error:
        load_strictly(network, weights, "mine.pt")
    text = str(error.value)
    assert text.startswith("mine.pt does not fit sam2v_nano: ")
    assert "1 missing (no_obj_ptr)" in text
    assert "1 unexpected (lora.a)" in text
    assert "1 wrong shape (mask_downsample.bias 2 instead of 1)" in text
    assert text.endswith("it fits none of the known configurations")
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_wrong_shape_alone_is_refused(device: str) -> None:
    network = build_model(load_model_config("sam2v_nano"), device=device)
    weights = {name: torch.zeros(value.shape) for name, value in network.state_dict().items()}
    weights["no_obj_ptr"] = torch.zeros(1, 2)
    with pytest.raises(
        ValueError, match=r"sam2v_nano: 1 wrong shape \(no_obj_ptr 1x2 instead of 1x128\); it fits none"
    ):
        load_strictly(network, weights, "w.pt")


def test_a_file_of_another_size_names_its_configuration() -> None:
    network = build_model(load_model_config("sam2.1_hiera_tiny"), device="meta")
    with pytest.raises(ValueError, match=r"it fits sam2\.1_hiera_small$") as error:
        load_strictly(network, light("sam2.1_hiera_small"), "w.pt")
    assert "more)" in str(error.value)
    assert len(str(error.value)) < 2000
    assert "\n" not in str(error.value)


def test_overrides_that_change_shapes_are_pointed_out() -> None:
    network = build_model(load_model_config("sam2.1_hiera_tiny", ["model.memory.num_layers=2"]), device="meta")
    with pytest.raises(ValueError, match=r"it fits sam2\.1_hiera_tiny without overrides"):
        load_strictly(network, light("sam2.1_hiera_tiny"), "w.pt")


def test_missing_tracking_modules_pass_only_when_allowed_and_complete() -> None:
    from sam2v.weights.keys import MEMORY_PREFIXES

    image = {k: v for k, v in light("sam2.1_hiera_tiny").items() if not k.startswith(MEMORY_PREFIXES)}
    network = build_model(load_model_config("sam2.1_hiera_tiny"), device="meta")
    with pytest.raises(ValueError, match="missing"):
        load_strictly(network, image, "w.pt")
    assert load_strictly(network, image, "w.pt", image_only=True)
    with pytest.raises(ValueError, match="missing"):
        load_strictly(network, {**image, "no_obj_ptr": torch.zeros(1, 256)}, "w.pt", image_only=True)
    assert set(fitting_configs(image)) == {"sam2_hiera_tiny", "sam2.1_hiera_tiny"}
