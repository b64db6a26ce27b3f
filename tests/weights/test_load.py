"""load_model and save_checkpoint."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from golden.weights import manifests, weights_by_rule
from torch import Tensor
from weights.server import Site, serve

import sam2v
from sam2v.weights import load as module
from sam2v.weights.files import read_checkpoint, write_checkpoint
from sam2v.weights.keys import MEMORY_PREFIXES, to_transformers

StateDict = dict[str, Tensor]


def assert_same(one: StateDict, other: StateDict) -> None:
    assert set(one) == set(other)
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture(scope="module")
def nano() -> StateDict:
    shapes = {
        k: list(v.shape) for k, v in sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu").state_dict().items()
    }
    return weights_by_rule(shapes)


@pytest.fixture(scope="module")
def tiny() -> StateDict:
    return {
        name: torch.full(shape, float(i)) for i, (name, shape) in enumerate(manifests()["sam2.1_hiera_tiny"].items())
    }


def test_list_models() -> None:
    assert set(manifests()) | {"sam2v_nano"} <= set(sam2v.list_models())


def test_random_weights_and_defaults() -> None:
    model = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu")
    assert not model.training
    assert model.dtype == torch.float32
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in model.parameters()) <= 6_000_000


@pytest.mark.parametrize("layout", ["official", "bare", "safetensors", "half", "transformers"])
def test_every_layout_of_a_file(tmp_path: Path, nano: StateDict, layout: str) -> None:
    path = tmp_path / ("w.safetensors" if layout in ("safetensors", "half", "transformers") else "w.pt")
    expected = nano
    if layout == "bare":
        torch.save(nano, path)
    elif layout == "half":
        write_checkpoint({name: value.half() for name, value in nano.items()}, path)
        expected = {name: value.half().float() for name, value in nano.items()}
    elif layout == "transformers":
        write_checkpoint(to_transformers(nano), path)
    else:
        write_checkpoint(nano, path, layout)  # type: ignore[arg-type]
    model = sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")
    assert_same(dict(model.state_dict()), expected)
    assert not model.image_only


def numbered(config: str) -> StateDict:
    """Entries that tell which they are, without memory behind them."""
    return {name: torch.tensor(float(i)).expand(shape) for i, (name, shape) in enumerate(manifests()[config].items())}


def assert_numbered(state_dict: StateDict, config: str) -> None:
    expected = numbered(config)
    assert set(state_dict) == set(expected)
    for name, value in state_dict.items():
        assert (value.dtype, value.shape) == (torch.float32, expected[name].shape)
        assert value.flatten()[0] == expected[name].flatten()[0], name


@pytest.mark.parametrize("config", [name for name in manifests() if name.endswith(("tiny", "small"))])
def test_released_files_load_and_are_saved_back_identically(tmp_path: Path, config: str) -> None:
    torch.save({"model": {n: v.clone() for n, v in numbered(config).items()}}, tmp_path / "in.pt")
    model = sam2v.load_model(config, checkpoint=tmp_path / "in.pt", device="cpu")
    sam2v.save_checkpoint(model, tmp_path / "out.pt", format="official")
    assert_numbered(torch.load(tmp_path / "out.pt", weights_only=True)["model"], config)


@pytest.mark.parametrize("config", [name for name in manifests() if name.endswith(("plus", "large"))])
def test_larger_released_weights_too(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "read_checkpoint", lambda path: numbered(config))
    model = sam2v.load_model(config, checkpoint="large.pt", device="cpu")
    assert_numbered(dict(model.state_dict()), config)


def test_save_safetensors(tmp_path: Path, nano: StateDict) -> None:
    write_checkpoint(nano, tmp_path / "in.pt", "official")
    model = sam2v.load_model("sam2v_nano", checkpoint=tmp_path / "in.pt", device="cpu")
    path = sam2v.save_checkpoint(model, tmp_path / "out.safetensors")
    assert_same(read_checkpoint(path), nano)
    sam2v.save_checkpoint(model, path, dtype=torch.float16)
    assert {value.dtype for value in read_checkpoint(path).values()} == {torch.float16}
    with pytest.raises(ValueError, match="suffix"):
        sam2v.save_checkpoint(model, tmp_path / "out.pt")
    for dtype in (torch.int8, torch.complex64, "float16"):
        with pytest.raises(ValueError, match="dtype must be a floating-point"):
            sam2v.save_checkpoint(model, path, dtype=dtype)  # type: ignore[arg-type]


def test_image_only_port(tmp_path: Path, nano: StateDict) -> None:
    config = "sam2v_nano"
    image = {k: v for k, v in nano.items() if not k.startswith(MEMORY_PREFIXES)}
    path = write_checkpoint(to_transformers(image), tmp_path / "w.safetensors")
    with pytest.warns(UserWarning, match="no modules for tracking"):
        model = sam2v.load_model(config, checkpoint=path, device="cpu")
    assert model.image_only
    assert not any(value.is_meta for value in model.state_dict().values())
    assert_same({name: model.state_dict()[name] for name in image}, image)
    with pytest.raises(ValueError, match="image-only"):
        sam2v.save_checkpoint(model, tmp_path / "out.safetensors")
    released = write_checkpoint(image, tmp_path / "cut.pt", "official")
    with pytest.raises(ValueError, match="missing"):
        sam2v.load_model(config, checkpoint=released, device="cpu")


def test_wrong_size_names_the_right_one(tmp_path: Path, tiny: StateDict) -> None:
    path = write_checkpoint(tiny, tmp_path / "w.pt", "official")
    with pytest.raises(ValueError, match=r"w\.pt does not fit sam2v_nano: .*it fits sam2\.1_hiera_tiny$"):
        sam2v.load_model("sam2v_nano", checkpoint=path, device="cpu")


def test_yaml_path_and_overrides(tmp_path: Path, nano: StateDict) -> None:
    (tmp_path / "mine.yaml").write_text(
        (module.load_model_config.__globals__["configs_dir"]() / "model/sam2v_nano.yaml").read_text()
    )
    path = write_checkpoint(nano, tmp_path / "w.safetensors")
    model = sam2v.load_model(
        str(tmp_path / "mine.yaml"), checkpoint=path, device="cpu", overrides=["model.image_size=64"]
    )
    assert model.config.image_size == 64
    assert_same(dict(model.state_dict()), nano)
    with pytest.raises(
        FileNotFoundError, match=r"no weights are known for 'mine': give checkpoint=PATH, or checkpoint=None"
    ):
        sam2v.load_model(tmp_path / "mine.yaml", device="cpu")


def test_auto_takes_the_embedded_file(tmp_path: Path, nano: StateDict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sam2v.paths.checkpoints_dir", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match="no weights are known for 'sam2v_nano'"):
        sam2v.load_model(device="cpu")
    write_checkpoint(nano, tmp_path / "sam2v_nano.safetensors")
    assert_same(dict(sam2v.load_model(device="cpu").state_dict()), nano)


def test_auto_downloads_released_weights(
    own_cache: Path, tmp_path: Path, tiny: StateDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_checkpoint(tiny, tmp_path / "w.pt", "official")
    with serve(Site({"/092824/sam2.1_hiera_tiny.pt": path.read_bytes()})) as site:
        monkeypatch.setenv("SAM2V_WEIGHTS_URL", site.url)
        model = sam2v.load_model("sam2.1_hiera_tiny", device="cpu")
        address = f"{site.url}/092824/sam2.1_hiera_tiny.pt"
        again = sam2v.load_model("sam2.1_hiera_tiny", checkpoint=address, device="cpu")
    assert_same(dict(model.state_dict()), tiny)
    assert_same(dict(again.state_dict()), tiny)
    assert len(site.requests) == 2


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[StateDict], None]:
    """Function that puts a state dict behind every Hugging Face id."""

    def hold(state_dict: StateDict) -> None:
        path = write_checkpoint(state_dict, tmp_path / "hub.safetensors")
        monkeypatch.setattr("sam2v.weights.hub.download_hub", lambda repo_id: path)

    return hold


def test_hub_ids(hub: Callable[[StateDict], None], tiny: StateDict, nano: StateDict) -> None:
    hub(tiny)
    model = sam2v.load_model("facebook/sam2.1-hiera-tiny", device="cpu")
    assert model.config.name == "sam2.1_hiera_tiny"
    assert_same(dict(model.state_dict()), tiny)
    model = sam2v.load_model("sam2.1_hiera_tiny", checkpoint="me/tuned", device="cpu")
    assert_same(dict(model.state_dict()), tiny)
    hub(to_transformers(nano))
    model = sam2v.load_model("me/tuned", device="cpu", overrides=["model.image_size=128"])
    assert (model.config.name, model.config.image_size) == ("sam2v_nano", 128)
    assert_same(dict(model.state_dict()), nano)


def test_hub_ids_without_a_configuration(hub: Callable[[StateDict], None]) -> None:
    assert sam2v.load_model("facebook/sam2-hiera-tiny", checkpoint=None, device="cpu").config.name == "sam2_hiera_tiny"
    with pytest.raises(ValueError, match="'me/tuned' is not known without its weights"):
        sam2v.load_model("me/tuned", checkpoint=None, device="cpu")
    hub({"x": torch.ones(1)})
    with pytest.raises(ValueError, match="fits none of the known configurations"):
        sam2v.load_model("me/tuned", device="cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16, "torch.bfloat16"])
def test_dtype(dtype: torch.dtype | str) -> None:
    model = sam2v.load_model("sam2v_nano", checkpoint=None, device="cpu", dtype=dtype)
    assert model.dtype == torch.bfloat16
    heavy = ("image_encoder.", "memory_attention.", "memory_encoder.", "sam_mask_decoder.conv_s")
    for key, parameter in model.named_parameters():
        assert parameter.dtype == (torch.bfloat16 if key.startswith(heavy) else torch.float32), key


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "sam3"}, FileNotFoundError, "unknown model 'sam3'; known: "),
        ({"device": "gpu"}, ValueError, "device 'gpu' cannot be used here"),
        ({"dtype": "float64"}, ValueError, "dtype must be one of float32, bfloat16, float16"),
        ({"dtype": torch.int8}, ValueError, "dtype must be one of"),
        ({"overrides": ["model.imagesize=3"]}, ValueError, "imagesize"),
        ({"checkpoint": "none.pt"}, FileNotFoundError, r"no checkpoint file none\.pt"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        sam2v.load_model(**{"name": "sam2v_nano", "checkpoint": None, "device": "cpu", **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="only where there is no cuda")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="device 'cuda' cannot be used here: "):
        sam2v.load_model("sam2v_nano", checkpoint=None, device="cuda")
