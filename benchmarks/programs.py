"""sam2v, the reference (package `sam2`) and transformers behind one face, so that a benchmark can run them alike.

Every program gets the same weights, network input size, frames and clicks. bfloat16 is asked for the way each
program's users do: sam2v through `load_model(dtype=...)`, the reference under `torch.autocast` (its model cards),
transformers under autocast too or, with `cast_weights`, with its weights and frames turned to bfloat16 (its docs).
Holes are filled by none of them: the reference needs a compiled extension for that.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import inspect
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sam2v.config import ModelConfig, TrunkConfig, load_model_config
from sam2v.model.network import MEAN, STD, Sam2Network
from sam2v.video.fit import fit, fit_photograph

OWN = "sam2v"
PEERS = ("sam2", "transformers")
#: What pip calls them.
PACKAGES = {"sam2": "rf-sam-2", "transformers": "transformers>=4.57"}
DTYPES = ("float32", "bfloat16", "float16")

_ROOT = Path(__file__).resolve().parents[1]
_FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
#: Names the weights drawn by rule; with this one clicks find objects, and different ones.
SALT = "img-1-"
_LOGIT_LIMIT = 32.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Setup:
    """How a program is run.

    Attributes:
        program: "sam2v" or one of PEERS.
        model: name of the configuration.
        weights: checkpoint in the released layout.
        image_size: side of the network's input, pixels.
        dtype: one of DTYPES. device: "cpu" or "cuda".
        threads: threads of torch in the program's process.
        compiled: ask for the program's compiled form; transformers has none and runs as it is.
        float32_memories: keep the peers from rounding memories to bfloat16, so that only arithmetic can differ.
        cast_weights: transformers' lower precision by casting its weights, instead of autocast.
    """

    program: str
    model: str
    weights: str
    image_size: int
    dtype: str
    device: str
    threads: int
    compiled: bool = False
    float32_memories: bool = False
    cast_weights: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The precision as torch has it."""
        return getattr(torch, self.dtype)

    @property
    def stored_dtype(self) -> torch.dtype:
        """Type of transformers' weights and frames."""
        return self.torch_dtype if self.cast_weights else torch.float32

    def context(self) -> contextlib.ExitStack:
        """What the program's users wrap their calls in; sam2v needs nothing."""
        stack = contextlib.ExitStack()
        if self.program != OWN:
            stack.enter_context(torch.inference_mode())
            if self.dtype != "float32" and not (self.program == "transformers" and self.cast_weights):
                stack.enter_context(torch.autocast(self.device, self.torch_dtype))
        return stack


class VideoProgram(Protocol):
    """A tracker with its model loaded."""

    model: torch.nn.Module

    def start(self, frames: Path, clicks: Sequence[Point]) -> None:
        """Open a folder of frames and click one object at each place (x, y in pixels) on its first frame."""

    def step(self) -> Tensor:
        """The next frame's mask logits, N x H x W at the video's size, from the first frame on."""


class ImageProgram(Protocol):
    """An image predictor with its model loaded."""

    model: torch.nn.Module

    def encode(self, picture: np.ndarray) -> None:
        """Encode a picture, H x W x 3 uint8."""

    def click(self, place: Point) -> np.ndarray:
        """Three boolean masks at the picture's size are made; returns their 3 x h x w low-resolution logits."""


# -- which programs there are ------------------------------------------------------------------------------------------


def choose_peers(text: str, model: str) -> list[str]:
    """The peers that a comma-separated list names and that can run; says in one line why another cannot."""
    names = [name for name in text.split(",") if name and name != "none"]
    if unknown := [name for name in names if name not in PEERS]:
        raise SystemExit(f"unknown peer {unknown[0]!r}; known: {', '.join(PEERS)}")
    found = []
    for name in names:
        if obstacle := _obstacle(name, model):
            print(f"{name} is left out: {obstacle}", file=sys.stderr, flush=True)
        else:
            found.append(name)
    return found


def _obstacle(peer: str, model: str) -> str | None:
    """Why a peer cannot run, if it cannot."""
    command = f"pip install '{PACKAGES[peer]}'"
    if importlib.util.find_spec(peer) is None:
        return f"not installed; {command}"
    if peer == "transformers":
        version = importlib.metadata.version(peer)
        if [int(part) for part in version.split(".")[:2]] < [4, 57]:
            return f"version {version} has no SAM 2 for video; {command}"
    return None if model.partition("_hiera_")[2] in _FILES else f"it has no configuration like {model}"


def add_speed_arguments(parser: argparse.ArgumentParser) -> None:
    """What the speed benchmarks take alike: the programs, the model, the precision, the machine."""
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; 'none' for sam2v alone")
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    parser.add_argument("--checkpoint", default="rule", help="'rule': drawn from the names; 'auto', or a file")
    parser.add_argument("--salt", default=SALT, help="text that the rule draws its weights with")
    parser.add_argument("--dtype", default="float32", help="comma-separated: " + ", ".join(DTYPES))
    parser.add_argument("--image-size", type=int, help="side of the network's input; default: the model's own")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--compile", action="store_true", help="every program's compiled form, where it has one")
    parser.add_argument(
        "--cast-weights",
        action="store_true",
        help="transformers' lower precision by casting its weights, as its documentation does, not by autocast",
    )
    parser.add_argument("--out", type=Path, help="folder for the JSON and the picture")


def precisions(args: argparse.Namespace) -> list[str]:
    """The precisions asked for, float32 first, since the others are compared with it. Checks the device too."""
    names = args.dtype.split(",")
    if unknown := [name for name in names if name not in DTYPES]:
        raise SystemExit(f"unknown dtype {unknown[0]!r}; known: {', '.join(DTYPES)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: this torch sees no GPU")
    if args.compile and not can_compile():
        raise SystemExit("--compile: this sam2v has no load_model(compile=...)")
    return [name for name in DTYPES if name in names]


def make_setup(args: argparse.Namespace, program: str, dtype: str, weights: Path, **more: Any) -> Setup:
    """One program's setup from the arguments; `more` overrides or adds."""
    options: dict[str, Any] = {"compiled": args.compile, "cast_weights": args.cast_weights} | more
    size = args.image_size or image_size_of(args.model)
    return Setup(program, args.model, str(weights), size, dtype, args.device, args.threads, **options)


def can_compile() -> bool:
    """Whether this version of sam2v takes `load_model(compile=...)`."""
    from sam2v import load_model

    return "compile" in inspect.signature(load_model).parameters


def write_weights(path: Path, model: str, checkpoint: str, salt: str = SALT) -> None:
    """One file of weights for all programs, in the released layout.

    Args:
        path: the file.
        model: name of the configuration.
        checkpoint: "rule" draws weights from their names (tests/golden/weights.py), so that nothing is downloaded and
            every module counts; otherwise what `sam2v.load_model` takes.
        salt: for the rule; another one draws other weights.
    """
    if checkpoint != "rule":
        from sam2v import load_model

        state_dict = load_model(model, checkpoint, device="cpu").state_dict()
    else:
        sys.path.insert(0, str(_ROOT / "tests"))
        from golden.weights import manifests, weights_by_rule

        if model not in manifests():
            raise SystemExit(f"there is no rule for the weights of {model}: give --checkpoint auto or a file")
        state_dict = weights_by_rule(manifests()[model], salt)
    torch.save({"model": state_dict}, path)


def load_own(model: str, dtype: str | None, fast: bool = False) -> Sam2Network:
    """A model of sam2v on the CPU: embedded weights where there are some, else weights by rule."""
    from sam2v import load_model

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = "auto"
        if model != "sam2v_nano":
            checkpoint = f"{folder}/weights.pt"
            write_weights(Path(checkpoint), model, "rule")
        return load_model(model, checkpoint, "cpu", dtype, fast=fast)


def image_size_of(model: str) -> int:
    """The input size that a configuration asks for, pixels."""
    return load_model_config(model).image_size


# -- sam2v -------------------------------------------------------------------------------------------------------------


def _own_model(setup: Setup) -> Any:
    from sam2v import load_model

    more = {"compile": True} if setup.compiled else {}
    overrides = [f"model.image_size={setup.image_size}"]
    return load_model(setup.model, setup.weights, device=setup.device, dtype=setup.dtype, overrides=overrides, **more)


class OwnVideo:
    """sam2v's video predictor."""

    def __init__(self, setup: Setup) -> None:
        from sam2v import VideoPredictor

        self.model = _own_model(setup)
        self._predictor = VideoPredictor(self.model, fill_hole_area=0)

    def start(self, frames: Path, clicks: Sequence[Point]) -> None:
        """See `VideoProgram`."""
        state = self._predictor.init_state(frames)
        for number, place in enumerate(clicks, 1):
            self._predictor.add_points(state, 0, number, [place])
        self._results = self._predictor.propagate_in_video(state)

    def step(self) -> Tensor:
        """See `VideoProgram`."""
        return next(self._results).masks[:, 0]


class OwnImage:
    """sam2v's image predictor."""

    def __init__(self, setup: Setup) -> None:
        from sam2v import ImagePredictor

        self.model = _own_model(setup)
        self._predictor = ImagePredictor(self.model)

    def encode(self, picture: np.ndarray) -> None:
        """See `ImageProgram`."""
        self._predictor.set_image(picture)

    def click(self, place: Point) -> np.ndarray:
        """See `ImageProgram`."""
        return self._predictor.predict(np.array([place]), np.array([1])).low_res_logits


# -- the reference -----------------------------------------------------------------------------------------------------


def reference_arguments(setup: Setup) -> dict[str, Any]:
    """What the reference's builders take."""
    version, size = setup.model.split("_hiera_")
    return {
        "config_file": f"configs/{version}/{version}_hiera_{_FILES[size]}.yaml",
        "ckpt_path": setup.weights,
        "device": setup.device,
        "hydra_overrides_extra": [f"++model.image_size={setup.image_size}"],
    }


class ReferenceVideo:
    """The reference's video predictor; compiled, its `vos_optimized` one."""

    def __init__(self, setup: Setup) -> None:
        import sam2.sam2_video_predictor as module
        import sam2.utils.misc as loading
        from sam2.build_sam import build_sam2_video_predictor

        module.tqdm = loading.tqdm = _no_progress
        self.model = build_sam2_video_predictor(**reference_arguments(setup), vos_optimized=setup.compiled)
        self.model.fill_hole_area = 0
        if setup.float32_memories:
            keep_float32(module)

    def start(self, frames: Path, clicks: Sequence[Point]) -> None:
        """See `VideoProgram`."""
        state = self.model.init_state(str(frames))
        for number, place in enumerate(clicks, 1):
            points, labels = np.array([place], np.float32), np.array([1], np.int32)
            self.model.add_new_points_or_box(state, frame_idx=0, obj_id=number, points=points, labels=labels)
        self._results = self.model.propagate_in_video(state)

    def step(self) -> Tensor:
        """See `VideoProgram`."""
        return next(self._results)[2][:, 0]


class ReferenceImage:
    """The reference's image predictor. It has no compiled form, but its image encoder can be compiled."""

    def __init__(self, setup: Setup) -> None:
        from sam2.build_sam import build_sam2
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        arguments = reference_arguments(setup)
        if setup.compiled:
            arguments["hydra_overrides_extra"].append("++model.compile_image_encoder=True")
        self.model = build_sam2(**arguments)
        self._predictor = SAM2ImagePredictor(self.model)
        # written down in it for 1024 pixels
        self._predictor._bb_feat_sizes = [(setup.image_size // stride,) * 2 for stride in (4, 8, 16)]

    def encode(self, picture: np.ndarray) -> None:
        """See `ImageProgram`."""
        self._predictor.set_image(picture)

    def click(self, place: Point) -> np.ndarray:
        """See `ImageProgram`."""
        return self._predictor.predict(np.array([place], np.float32), np.array([1], np.int32))[2]


def _no_progress(frames: Any, **_: Any) -> Any:
    return frames


# -- transformers ------------------------------------------------------------------------------------------------------


def build_ported(kind: str, config: ModelConfig, weights: dict[str, Tensor]) -> Any:
    """A model of transformers in eval mode.

    Args:
        kind: `Sam2Model` or `Sam2VideoModel`.
        config: the configuration, whose `image_size` counts too.
        weights: a state dict with the released names.
    """
    import transformers

    from sam2v.weights.keys import to_transformers

    size = config.image_size
    parts = {"vision_config": _ported_vision(config), "prompt_encoder_config": {"image_size": size}}
    if kind == "Sam2Model":
        model = transformers.Sam2Model(transformers.Sam2Config(**parts))
    else:
        options = {
            "image_size": size,
            "memory_attention_rope_feat_sizes": [size // 16] * 2,
            "enable_occlusion_spatial_embedding": config.memory.no_obj_embed_spatial,
            "enable_temporal_pos_encoding_for_object_pointers": config.memory.obj_ptr_time_encoding,
        }
        model = transformers.Sam2VideoModel(transformers.Sam2VideoConfig(**parts, **options))
    known, wanted = to_transformers(weights), model.state_dict()
    if missing := set(wanted) - set(known):
        raise RuntimeError(f"{kind} has entries that the conversion does not know: {', '.join(sorted(missing))}")
    model.load_state_dict({name: known[name] for name in wanted})
    return model.eval()


def _ported_vision(config: ModelConfig) -> dict[str, Any]:
    backbone = _ported_backbone(config.trunk) | {"image_size": [config.image_size] * 2}
    return {
        "model_type": "sam2_vision_model",
        "backbone_config": backbone,
        "backbone_channel_list": backbone["embed_dim_per_stage"][::-1],
        "backbone_feature_sizes": [[config.image_size // stride] * 2 for stride in (4, 8, 16)],
    }


def _ported_backbone(trunk: TrunkConfig) -> dict[str, Any]:
    """transformers' description of a trunk."""
    return {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": trunk.embed_dim,
        "num_attention_heads": trunk.num_heads,
        "blocks_per_stage": trunk.stages,
        "embed_dim_per_stage": [trunk.embed_dim * 2**stage for stage in range(4)],
        "num_attention_heads_per_stage": [trunk.num_heads * 2**stage for stage in range(4)],
        "global_attention_blocks": trunk.global_blocks,
        "window_positional_embedding_background_size": trunk.pos_embed_size,
        "window_size_per_stage": trunk.windows,
    }


def keep_float32(module: Any) -> None:
    """Give a peer's video module a `torch` whose bfloat16 is float32: it only uses it to store memories."""
    names = {name: getattr(torch, name) for name in dir(torch) if not name.startswith("__")}
    module.torch = SimpleNamespace(**{**names, "bfloat16": torch.float32})


def _ported_model(kind: str, setup: Setup) -> Any:
    config = load_model_config(setup.model, [f"model.image_size={setup.image_size}"])
    weights = torch.load(setup.weights, weights_only=True)["model"]
    return build_ported(kind, config, weights).to(setup.device, setup.stored_dtype)


class PortedVideo:
    """transformers' `Sam2VideoModel`, its network input made by sam2v: its own processor resizes differently."""

    def __init__(self, setup: Setup) -> None:
        import transformers
        from transformers.models.sam2_video import modeling_sam2_video as module

        self._setup = setup
        self.model = _ported_model("Sam2VideoModel", setup)
        self._make_session = module.Sam2VideoInferenceSession
        self._processor = transformers.Sam2VideoProcessor(
            transformers.Sam2ImageProcessor(), transformers.Sam2VideoVideoProcessor(), target_size=setup.image_size
        )
        if setup.float32_memories:
            keep_float32(module)

    def start(self, frames: Path, clicks: Sequence[Point]) -> None:
        """See `VideoProgram`."""
        pixels, self._size = self._read(frames)
        places = {"inference_device": self._setup.device, "inference_state_device": self._setup.device}
        places["video_storage_device"] = self._setup.device
        session = self._make_session(pixels, *self._size, dtype=self._setup.stored_dtype, **places)
        self._processor.add_inputs_to_inference_session(
            session,
            frame_idx=0,
            obj_ids=list(range(1, len(clicks) + 1)),
            input_points=[[[list(place)] for place in clicks]],
            input_labels=[[[1] for _ in clicks]],
        )
        self.model(session, frame_idx=0)
        self._results: Iterator[Any] = self.model.propagate_in_video_iterator(session)

    def step(self) -> Tensor:
        """See `VideoProgram`."""
        masks = next(self._results).pred_masks
        return F.interpolate(masks.float(), self._size, mode="bilinear", align_corners=False)[:, 0]

    def _read(self, folder: Path) -> tuple[Tensor, tuple[int, int]]:
        """The network's input, T x 3 x S x S, and the video's (height, width)."""
        from PIL import Image

        files, inputs, size = sorted(folder.iterdir()), [], (0, 0)
        for file in files:
            frame = np.asarray(Image.open(file))
            size = (frame.shape[0], frame.shape[1])
            inputs.append(network_input(frame, self._setup.image_size)[0].to(self._setup.stored_dtype))
        return torch.stack(inputs), size


def network_input(picture: np.ndarray, side: int, photograph: bool = False) -> Tensor:
    """What sam2v's network makes of H x W x 3 uint8 pixels, 1 x 3 x side x side: resized and normalised."""
    size = (side, side)
    if photograph:
        pixels = fit_photograph(picture, size, torch.device("cpu"))
    else:
        pixels = torch.from_numpy(fit(picture, size).copy()).float() / 255
    return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)[None]


class PortedImage:
    """transformers' `Sam2Model`; what its processor does around it is done here, with as little as possible."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self.model = _ported_model("Sam2Model", setup)

    def encode(self, picture: np.ndarray) -> None:
        """See `ImageProgram`."""
        self._size = (picture.shape[0], picture.shape[1])
        pixels = network_input(picture, self._setup.image_size, photograph=True)
        self._embeddings = self.model.get_image_embeddings(pixels.to(self._setup.device, self._setup.stored_dtype))

    def click(self, place: Point) -> np.ndarray:
        """See `ImageProgram`."""
        height, width = self._size
        side, device = self._setup.image_size, self._setup.device
        point = torch.tensor([[[[place[0] * side / width, place[1] * side / height]]]], device=device)
        logits = self.model(
            image_embeddings=self._embeddings,
            input_points=point.to(self._setup.stored_dtype),
            input_labels=torch.ones(1, 1, 1, dtype=torch.int64, device=device),
            multimask_output=True,
        ).pred_masks[0]
        masks = F.interpolate(logits.float(), self._size, mode="bilinear", align_corners=False) > 0
        masks.cpu().numpy()
        return logits[0].float().clamp(-_LOGIT_LIMIT, _LOGIT_LIMIT).cpu().numpy()


VIDEO: dict[str, type[VideoProgram]] = {OWN: OwnVideo, "sam2": ReferenceVideo, "transformers": PortedVideo}
IMAGE: dict[str, type[ImageProgram]] = {OWN: OwnImage, "sam2": ReferenceImage, "transformers": PortedImage}
