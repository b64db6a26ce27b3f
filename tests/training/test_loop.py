"""The loop: curves that repeat exactly, resume exactly, and failures that leave things whole."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import data.made_trees as made
import pytest
import torch
from training.small import NETWORK, small_recipe

from sam2v.data import open_dataset
from sam2v.data.clips import Clip
from sam2v.data.edits import EditConfig
from sam2v.evaluation.baselines import make_baseline
from sam2v.evaluation.vos import evaluate_vos
from sam2v.training import checkpoint as checkpoint_file
from sam2v.training.config import (
    LoraConfig,
    OptimConfig,
    SourceConfig,
    StageConfig,
    ValidationConfig,
    check_train_config,
    config_difference,
    load_train_config,
)
from sam2v.training.log import read_rows
from sam2v.training.loop import BEST, LAST, STATE, Trainer, train
from sam2v.training.validate import make_validator
from sam2v.weights.load import load_model

CURVE = ("step", "stage", "loss", "mask", "dice", "iou", "score", "contrast", "track_iou", "gradient_norm", "rate")


def _curve(folder: Path) -> list[list[float]]:
    return [[row[name] for name in CURVE] for row in read_rows(folder / "train.csv")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(small_recipe(folder), progress=False)
    return folder


def test_a_run_leaves_weights_curves_and_state(whole: Path) -> None:
    assert {path.name for path in whole.iterdir()} == {STATE, LAST, "train.csv", "curves.png"}
    rows = read_rows(whole / "train.csv")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["stage"] for row in rows] == [0] * 3 + [1] * 5
    rates = [row["rate"] for row in rows]
    assert rates[0] == pytest.approx(5e-4) and max(rates) == pytest.approx(1e-3)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    network = load_model("sam2v_nano", whole / LAST, overrides=[*small_recipe(whole).overrides, "model.image_size=64"])
    state = torch.load(whole / STATE, weights_only=True)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, state["average"]["state"][name])


def test_frames_need_not_be_square(tmp_path: Path) -> None:
    stages = [StageConfig(steps=2, image_size=[64, 96], frames=3, batch=1, objects=1)]
    recipe = small_recipe(tmp_path / "run", stages=stages)
    train(recipe, progress=False)
    overrides = [*recipe.overrides, "model.image_size=[64,96]"]
    network = load_model("sam2v_nano", tmp_path / "run" / LAST, device="cpu", overrides=overrides)
    assert network.config.input_size == (64, 96)


@pytest.mark.parametrize("stop", [2, 5])
def test_resume_repeats_the_uninterrupted_curve(whole: Path, tmp_path: Path, stop: int) -> None:
    recipe = small_recipe(tmp_path / "run")
    train(recipe, stop_after=stop, progress=False)
    train(recipe, resume=True, progress=False)
    for mine, theirs in zip(_curve(tmp_path / "run"), _curve(whole), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6, nan_ok=True)
    mine, theirs = (torch.load(folder / STATE, weights_only=True)["model"] for folder in (tmp_path / "run", whole))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_repeated_batches_resume_too(tmp_path: Path) -> None:
    stages = [StageConfig(steps=6, image_size=64, frames=2, batch=2, objects=2)]
    one, two = (small_recipe(tmp_path / name, repeat=3, stages=stages) for name in ("one", "two"))
    train(one, progress=False)
    train(two, stop_after=4, progress=False)
    train(two, resume=True, progress=False)
    for mine, theirs in zip(_curve(tmp_path / "one"), _curve(tmp_path / "two"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-6, nan_ok=True)


def test_another_recipe_is_refused_with_the_difference(whole: Path) -> None:
    recipe = small_recipe(whole, seed=1, workers=0, save_every=100)
    before = (whole / STATE).read_bytes()
    with pytest.raises(ValueError, match=r"differs in seed: 0 -> 1$"):
        train(recipe, resume=True, progress=False)
    with pytest.raises(FileExistsError, match="resume it"):
        train(small_recipe(whole), progress=False)
    assert (whole / STATE).read_bytes() == before
    longer = replace(recipe, seed=0, stages=[*recipe.stages, StageConfig(steps=1)])
    from dataclasses import asdict

    assert any("stages.2.steps: (absent) -> 1" in line for line in config_difference(asdict(recipe), longer))


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(small_recipe(tmp_path / "new"), resume=True, progress=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / STATE).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="not the state of a training run"):
        train(small_recipe(tmp_path / "run"), resume=True, progress=False)


def test_a_full_disk_leaves_the_previous_state(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = small_recipe(tmp_path / "run")
    train(recipe, stop_after=3, progress=False)
    before = (tmp_path / "run" / STATE).read_bytes()

    def full(_: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_file.torch, "save", full)
    with pytest.raises(OSError, match=r"No space left on device.*previous one is intact"):
        train(recipe, resume=True, progress=False)
    assert (tmp_path / "run" / STATE).read_bytes() == before
    assert not list((tmp_path / "run").glob(".*tmp*"))


def test_a_loss_that_is_not_finite_stops_with_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sam2v.training import learner

    real = learner.clip_loss
    calls: list[int] = []

    def poisoned(*args: Any) -> Any:
        calls.append(1)
        parts = real(*args)
        return replace(parts, dice=parts.dice * float("nan")) if len(calls) == 3 else parts

    monkeypatch.setattr(learner, "clip_loss", poisoned)
    with pytest.raises(RuntimeError, match=r"loss is nan at step 2; the batch \(synthetic.*failed_step2_rank0\.pt"):
        train(small_recipe(tmp_path), progress=False)
    saved = torch.load(tmp_path / "failed_step2_rank0.pt", weights_only=True)
    assert saved["frames"].shape == (2, 1, 3, 64, 64) and len(saved["names"]) == 2


def test_a_gradient_that_is_not_finite_never_reaches_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sam2v.training import loop

    real = loop.nn.utils.clip_grad_norm_
    calls: list[int] = []

    def poisoned(parameters: Any, limit: float) -> Any:
        calls.append(1)
        if len(calls) == 3:
            parameters[0].grad.fill_(float("nan"))
        return real(parameters, limit)

    monkeypatch.setattr(loop.nn.utils, "clip_grad_norm_", poisoned)
    with pytest.raises(RuntimeError, match=r"norm of the gradient is nan at step 2;.*failed_step2_rank0\.pt"):
        train(small_recipe(tmp_path), progress=False)
    saved = torch.load(tmp_path / "failed_step2_rank0.pt", weights_only=True)
    assert all(value.isfinite().all() for value in saved["model"].values())


def test_data_that_cannot_be_learnt_from_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [SourceConfig(kind="folder", root=str(tmp_path / "nowhere"))]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(small_recipe(tmp_path / "a", sources=sources), progress=False)
    with pytest.raises(ValueError, match="needs a root folder"):
        train(small_recipe(tmp_path / "b", sources=[SourceConfig(kind="mose")]), progress=False)
    frames = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    with pytest.raises(ValueError, match="no object"):
        Clip(frames, torch.zeros(2, 0, 32, 32, dtype=torch.bool), "empty")
    with pytest.raises(ValueError, match="32 x 16"):
        Clip(frames, torch.zeros(2, 1, 32, 16, dtype=torch.bool), "other size")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "mose", "without": ["bear"]}, r"train\.sources\.0: 'bear' matches none of 2 names"),
        ({"kind": "mose", "split": "nope"}, r"no folder 'nope'"),
        ({"kind": "mose", "bodies": 9}, r"sources\.0\.bodies is a value of drawn clips"),
        ({"strides": [1, 3]}, r"sources\.0\.strides is a value of data sets"),
        ({"edits": EditConfig(blur=0.5)}, r"sources\.0\.edits is a value of data sets"),
    ],
)
def test_what_a_source_cannot_use_is_named_before_a_network_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    root = {"root": str(made.write_split(tmp_path / "v", "train", [0, 1]))} if "kind" in changes else {}
    monkeypatch.setattr(Trainer, "_make_network", lambda self: pytest.fail("a network was made"))
    source = SourceConfig(**{"split": "train", **root, **changes} if root else changes)
    with pytest.raises((ValueError, OSError), match=message):
        train(small_recipe(tmp_path / "run", sources=[source]), progress=False)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_one_error_wherever_it_is_read(tmp_path: Path, workers: int) -> None:
    root = made.write_split(tmp_path / "v", "train", [0, 1, 2, 3])
    for file in root.glob("train/JPEGImages/*/*"):
        file.write_bytes(b"no picture")
    source = SourceConfig(kind="mose", root=str(root), split="train")
    with pytest.raises((ValueError, OSError), match="not a") as raised:
        train(small_recipe(tmp_path / "run", sources=[source], workers=workers), progress=False)
    assert "Traceback" not in str(raised.value) and "JPEGImages" in str(raised.value)


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "run", freeze=["image_encoder.*"], ema=0.0)
    torch.manual_seed(recipe.seed)
    start = load_model("sam2v_nano", None, overrides=["model.image_size=64", *recipe.overrides]).state_dict()
    end = train(recipe, stop_after=2, progress=False).network.state_dict()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved and not any(name.startswith("image_encoder.") for name in moved)
    with pytest.raises(ValueError, match=r"'nothing\.\*' matches no parameter"):
        train(small_recipe(tmp_path / "b", freeze=["nothing.*"]), progress=False)
    with pytest.raises(ValueError, match="nothing is left to train"):
        train(small_recipe(tmp_path / "c", freeze=["*"]), progress=False)


def test_lora_trains_little_and_merges(tmp_path: Path) -> None:
    lora = LoraConfig(rank=2, layers=["memory_attention*"], also=["*mask_tokens*"])
    recipe = small_recipe(tmp_path / "run", lora=lora, ema=0.0)
    torch.manual_seed(recipe.seed)
    start = load_model("sam2v_nano", None, overrides=["model.image_size=64", *recipe.overrides]).state_dict()
    result = train(recipe, progress=False)
    end = result.network.state_dict()
    assert start.keys() == end.keys()
    moved = {name for name in start if not torch.equal(start[name], end[name])}
    assert moved == {name for name in moved if name.startswith("memory_attention") or "mask_tokens" in name}
    name = "memory_attention.layers.0.cross_attn_image.v_proj.weight"
    assert name in moved and torch.linalg.matrix_rank(end[name] - start[name], rtol=1e-3) <= 2
    with pytest.raises(ValueError, match="no linear layer"):
        train(small_recipe(tmp_path / "b", lora=LoraConfig(rank=2, layers=["none"])), progress=False)


def test_validation_keeps_the_best(tmp_path: Path) -> None:
    values = iter([{"J&F": 30.0}, {"J&F": 50.0}, {"J&F": 40.0}])
    recipe = small_recipe(
        tmp_path, stages=[StageConfig(steps=6, image_size=64, frames=1, batch=1, objects=1)], save_every=2
    )
    result = train(recipe, validate=lambda network, step: next(values), progress=False)
    assert result.best == 50.0
    assert [row["J&F"] for row in read_rows(tmp_path / "validation.csv")] == [30.0, 50.0, 40.0]
    best, last = (
        load_model("sam2v_nano", tmp_path / name, overrides=recipe.overrides).state_dict() for name in (BEST, LAST)
    )
    assert any(not torch.equal(best[name], last[name]) for name in last)


def test_the_best_weights_are_there_before_the_state_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sam2v.training import loop

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "save_state", interrupted)
    stages = [StageConfig(steps=1, image_size=64, frames=1, batch=1, objects=1)]
    with pytest.raises(KeyboardInterrupt):
        train(small_recipe(tmp_path, stages=stages), validate=lambda network, step: {"J&F": 1.0}, progress=False)
    assert (tmp_path / BEST).is_file() and not (tmp_path / STATE).exists()


def test_configured_validation_measures_clips(tmp_path: Path) -> None:
    entry = ValidationConfig(limit=1, every=2, frames=2, image_size=64)
    recipe = small_recipe(
        tmp_path, stages=[StageConfig(steps=2, image_size=64, frames=2, batch=1, objects=1)], validation=[entry]
    )
    result = train(recipe, progress=False)
    assert result.best is not None and 0 <= result.best <= 100


@pytest.mark.parametrize(
    ("kind", "message"), [("sa1b", "holds photographs"), ("mose", "only the frames where objects")]
)
def test_validation_needs_frames_to_measure_on(tmp_path: Path, kind: str, message: str) -> None:
    root = made.write_sa1b(tmp_path) if kind == "sa1b" else made.write_split(tmp_path, "valid", [0])
    with pytest.raises(ValueError, match=message):
        make_validator(small_recipe(tmp_path, validation=[ValidationConfig(kind=kind, root=str(root))]))


def test_data_sets_are_measured_by_their_own_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `sam2v eval vos` measures them: the second object enters later, and counts."""
    root = made.write_split(tmp_path, "valid", list(range(8)))
    recipe = small_recipe(tmp_path, validation=[ValidationConfig(kind="mose", root=str(root), every=1)])
    monkeypatch.setattr("sam2v.predict.VideoPredictor", lambda network: make_baseline("copy"))
    found = make_validator(recipe)(None, 1)["mose_J&F"]
    records = open_dataset("mose", root)
    by = {name: evaluate_vos(make_baseline("copy"), records, protocol=name).mean["J&F"] for name in ("sav", "davis")}
    assert found == pytest.approx(100 * by["sav"]) and found != pytest.approx(100 * by["davis"])


def test_the_first_validation_entry_decides_whatever_else_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sam2v.training import validate

    worth = {64: iter([51.0, 52.0]), 96: iter([90.0, 80.0, 70.0])}
    monkeypatch.setattr(validate, "clips_jf", lambda network, clips: next(worth[clips[0].frames.shape[-1]]))
    entries = [ValidationConfig(limit=1, every=every, frames=2, image_size=side) for every, side in ((4, 64), (2, 96))]
    stages = [StageConfig(steps=6, image_size=64, frames=1, batch=1, objects=1)]
    recipe = small_recipe(tmp_path, stages=stages, validation=entries, save_every=2)
    assert train(recipe, progress=False).best == 52.0
    rows = [[row[f"synthetic{k}_J&F"] for k in (0, 1)] for row in read_rows(tmp_path / "validation.csv")]
    assert rows == [[pytest.approx(float("nan"), nan_ok=True), 90.0], [51.0, 80.0], [52.0, 70.0]]
    again = train(recipe, resume=True, progress=False)  # nothing is left to do, and nothing is measured
    assert again.best == 52.0 and len(read_rows(tmp_path / "validation.csv")) == 3
    other = replace(recipe, validation=entries[1:])  # what counts is another measure now
    assert train(other, resume=True, progress=False).best is None


def test_measurements_that_fall_between_saves_are_made_at_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sam2v.training import validate

    monkeypatch.setattr(validate, "clips_jf", lambda network, clips: 50.0)
    stages = [StageConfig(steps=10, image_size=64, frames=1, batch=1, objects=1)]
    entry = ValidationConfig(limit=1, every=2, frames=2, image_size=64)
    train(small_recipe(tmp_path, stages=stages, validation=[entry], save_every=3), progress=False)
    assert [row["step"] for row in read_rows(tmp_path / "validation.csv")] == [3, 6, 9, 10]


def test_a_line_of_the_log_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    train(small_recipe(tmp_path), stop_after=3, progress=False)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("4,0,1.2e")
    assert [row["step"] for row in read_rows(tmp_path / "train.csv")] == [1, 2, 3]
    train(small_recipe(tmp_path), resume=True, stop_after=5, progress=False)
    assert [row["step"] for row in read_rows(tmp_path / "train.csv")] == [1, 2, 3, 4, 5]


def test_trunk_blocks_learn_slower_the_earlier_they_are() -> None:
    from sam2v.training.optimizer import parameter_groups

    network = load_model("sam2v_nano", None, overrides=[*NETWORK, "model.image_size=64"])
    groups = parameter_groups(network.requires_grad_(True), OptimConfig(lr=1.0, layer_decay=0.5))
    rate = {name: group["lr"] for group in groups for name in group["names"]}
    trunk = "image_encoder.trunk."
    got = [rate[f"{trunk}blocks.{k}.norm1.weight"] for k in range(5)]
    assert got == [0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5]
    assert rate[f"{trunk}patch_embed.proj.weight"] == 0.5**6
    assert rate[f"{trunk}pos_embed"] == 1.0


def test_processes_must_share_every_batch() -> None:
    recipe = load_train_config("nano", ["stages.3.batch=6"])
    check_train_config(recipe, processes=2)
    with pytest.raises(
        ValueError, match=r"train\.stages\.3\.batch=6 times train\.sources\.0\.batch_scale=1: 4 processes"
    ):
        check_train_config(recipe, processes=4)


def test_a_gpu_without_a_number_is_this_process_s(monkeypatch: pytest.MonkeyPatch) -> None:
    from sam2v.training.distributed import join_world

    used = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert join_world("cuda").device == used[0] == torch.device("cuda", 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=fast", "lr"),
        ("nonsense=1", "nonsense"),
        ("stages.0.image_size=100", "multiple of 32"),
        ("precision=float8", "float32 or bfloat16"),
        ("stages.0.lead=3", "between 0 and frames - 2"),
        ("loss.stride=3", "must be 1, 2 or 4"),
        ("ema=1.0", "below 1"),
        ("validation.0.every=0", r"validation\.0\.every=0: must be at least 1"),
        ("validation.0.frames=1", r"validation\.0\.frames=1: must be at least 2"),
        ("optim.betas=[0.9]", r"optim\.betas=\[0\.9\]: must be two numbers"),
        ("sources.0.strides=[1]", r"sources\.0\.strides=\[1\]: must be two numbers"),
        ("prompts.rounds=[0,9]", r"prompts\.rounds=\[0, 9\]: each between 0 and"),
        ("sources.1.weight=-1", r"sources\.1\.weight=-1\.0: must be at least 0"),
        ("prompts.point_share=7", "must be between 0 and 1"),
        ("lora.rank=-3", r"lora\.rank=-3: must be at least 0"),
        ("workers=-1", r"train\.workers=-1: must be at least 0"),
        ("loss.dice=-1", r"loss\.dice=-1\.0: must be at least 0"),
        ("teacher.image_size=100", r"teacher\.image_size=100: must be 0 or a multiple of 32"),
    ],
)
def test_bad_recipes_are_named(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_train_config("nano", [override])


def test_unknown_recipes_list_the_known() -> None:
    with pytest.raises(FileNotFoundError, match="nano"):
        load_train_config("no_such_recipe")


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in (Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))
)
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_train_config(name).total_steps > 0
