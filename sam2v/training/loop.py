"""The training loop: stages of steps, each a function of the recipe, the seed and the step's number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sam2v.data.clips import ClipBatch
from sam2v.data.samplers import draw_seed
from sam2v.files import user_path, whole_file
from sam2v.model.network import Sam2Network
from sam2v.training.auxiliary import look_nearby
from sam2v.training.checkpoint import load_state, reading, save_state
from sam2v.training.config import TrainConfig, check_train_config
from sam2v.training.data import StageBatches
from sam2v.training.data_check import check_data
from sam2v.training.distributed import World, join_world
from sam2v.training.grow import deepen
from sam2v.training.learner import ClipLearner
from sam2v.training.log import RunLog
from sam2v.training.lora import add_lora, merged
from sam2v.training.optimizer import WeightAverage, freeze, make_optimizer, rate_at
from sam2v.training.prompting import draw_numbers, plan_clips
from sam2v.training.teacher import Teacher

STATE, LAST, BEST = "state.pt", "last.safetensors", "best.safetensors"
#: Measures a network at a step; the first value decides what the best is, more being better (NaN: not measured).
Validator = Callable[[Sam2Network, int], dict[str, float]]


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves behind.

    Attributes:
        network: the trained network (the average, where one was kept), in eval mode, low-rank updates merged.
        folder: its checkpoints and logs.
        steps: optimiser steps done.
        loss: mean loss of the last logged steps, NaN if there was nothing left to do.
        best: best value of the first validation, or None.
    """

    network: Sam2Network
    folder: Path
    steps: int
    loss: float
    best: float | None


def train(
    config: TrainConfig,
    resume: bool = False,
    device: str | torch.device | None = None,
    stop_after: int | None = None,
    validate: Validator | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train a model by a recipe; under torchrun, all processes call this alike.

    Args:
        config: the recipe, from `sam2v.training.load_train_config`.
        resume: continue from `config.out`/state.pt, with numbers as if there had been no interruption.
        device: where to compute; None = GPU if there is one.
        stop_after: stop at this step, with the state saved, as if interrupted.
        validate: measures the network every `save_every` steps, instead of `config.validation`.
        progress: show a bar when the output is a terminal.

    Raises:
        ValueError, OSError: a recipe that cannot work, data that cannot be read, a resume with another recipe.
        FileExistsError: the folder holds a run already and `resume` is False.
        RuntimeError: the loss or its gradient is not finite; the batch is saved and named.
    """
    world = join_world(device)
    try:
        return Trainer(config, world, resume, validate).run(stop_after, progress)
    finally:
        world.leave()


class Trainer:
    """A run in progress.

    Args:
        config: the recipe. world: this process among the others. resume: continue. validate: see `train`.
    """

    def __init__(
        self, config: TrainConfig, world: World, resume: bool = False, validate: Validator | None = None
    ) -> None:
        check_train_config(config, world.size)
        self.config, self.world = config, world
        self.folder = user_path(config.out)
        if not resume and (self.folder / STATE).exists():
            raise FileExistsError(f"{self.folder} holds a training run; resume it, or choose another train.out")
        state = load_state(self.folder / STATE, config) if resume else None  # before anything slow
        if config.threads:
            torch.set_num_threads(config.threads)
        torch.set_flush_denormal(True)
        check_data(config)
        self.network = self._make_network()
        self.optimizer = make_optimizer(self.network, config.optim)
        self.average = WeightAverage(self.network, config.ema) if config.ema else None
        self.step, self.best = 0, -math.inf
        if state is not None:
            with reading(self.folder / STATE):
                self._restore(state)
        autocast = config.precision == "bfloat16"
        learner = ClipLearner(
            self.network, config.prompts, config.loss, config.checkpointing, autocast, self._make_teacher()
        )
        self.learner: nn.Module = learner
        if world.size > 1:
            gpu = [world.device.index] if world.device.type == "cuda" else None
            self.learner = nn.parallel.DistributedDataParallel(learner, device_ids=gpu, find_unused_parameters=True)
        self.validate = validate or (self._configured_validation() if world.first else None)
        self.loss = math.nan

    # -- the run -------------------------------------------------------------------------------------------------------

    def run(self, stop_after: int | None = None, progress: bool = True) -> TrainResult:
        """Go through the remaining steps, save and log."""
        from tqdm import tqdm

        end = min(self.config.total_steps, stop_after or self.config.total_steps)
        log = RunLog(self.folder, self.step, self.config.tensorboard) if self.world.first else None
        hidden = True if not (progress and self.world.first) else None
        bar = tqdm(total=end, initial=self.step, disable=hidden, unit="step", dynamic_ncols=True)
        try:
            if self.step < end:
                while self.step < end:
                    self._run_stage(end, log, bar)
                self._save(log)
        finally:
            bar.close()
            if log is not None:
                log.close()
        best = self.best if self.best > -math.inf else None
        return TrainResult(self.exported(), self.folder, self.step, self.loss, best)

    def _run_stage(self, end: int, log: RunLog | None, bar: Any) -> None:
        number, within = self._stage_of(self.step)
        meter = Meter()
        waiting = time.perf_counter()
        for batch in StageBatches(self.config, number, within, self.world):
            meter.data_time += time.perf_counter() - waiting
            self._learn(batch, number, meter)
            self.step += 1
            bar.update()
            if self.step % self.config.log_every == 0:
                self._report(meter, number, log, bar)
                meter = Meter()
            if self.step % self.config.save_every == 0 and self.step < end:
                self._save(log)
            if self.step >= end:
                break
            waiting = time.perf_counter()
        if meter.steps:
            self._report(meter, number, log, bar)

    def _stage_of(self, step: int) -> tuple[int, int]:
        """Stage that a step belongs to, and its number within the stage."""
        for number, stage in enumerate(self.config.stages):
            if step < stage.steps:
                return number, step
            step -= stage.steps
        raise AssertionError("past the last stage")

    # -- one step ------------------------------------------------------------------------------------------------------

    def _learn(self, batch: ClipBatch, number: int, meter: Meter) -> None:
        began = time.perf_counter()
        config, stage = self.config, self.config.stages[number]
        torch.manual_seed(draw_seed(config.seed, 3, self.step, self.world.rank))  # for dropout and stochastic depth
        frames = batch.frames.shape[1]
        share = len(batch)
        rngs = [np.random.default_rng([config.seed, 4, self.step, self.world.rank * share + k]) for k in range(share)]
        together = np.random.default_rng([config.seed, 5, self.step])
        lead = min(stage.lead, max(0, frames - 2))  # images have none
        plan = plan_clips(together, rngs, frames, config.prompts, stage.pretend_stride, stage.pretend_length, lead)
        draws = [draw_numbers(rng, batch.valid.shape[1], frames, config.prompts).to(self.world.device) for rng in rngs]
        objects = float(self.world.sum(batch.valid.sum().float())) / self.world.size
        factor = rate_at(self.step, config.total_steps, config.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        *losses, tracked = self.learner(batch, plan, draws, objects)
        total = losses[0]
        # over processes, losses and gradients are averaged, and each divided its sum by the average number of objects
        logged = self.world.sum(torch.stack(losses).detach()) / self.world.size
        self._check_finite(logged[0], "loss", batch)
        if total.requires_grad:
            total.backward()
        limit = config.optim.clip or math.inf
        norm = nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], limit)
        self._check_finite(norm, "norm of the gradient", batch)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network)
        meter.add(logged, self.world.sum(tracked), float(norm), factor * config.optim.lr, time.perf_counter() - began)

    def _check_finite(self, value: Tensor, what: str, batch: ClipBatch) -> None:
        """Stop before the weights are touched; the processes agree on the value, so all of them stop."""
        if bool(value.isfinite()):
            return
        path = self.folder / f"failed_step{self.step}_rank{self.world.rank}.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        failed = {"step": self.step, "names": batch.names, "model": self.network.state_dict()}
        with whole_file(path) as temporary:
            torch.save({**failed, "frames": batch.frames, "masks": batch.masks, "valid": batch.valid}, temporary)
        raise RuntimeError(
            f"the {what} is {float(value)} at step {self.step}; "
            f"the batch ({', '.join(batch.names)}) and the weights are in {path}"
        )

    # -- making, saving, restoring -------------------------------------------------------------------------------------

    def _make_network(self) -> Sam2Network:
        from sam2v.config import load_model_config
        from sam2v.weights.load import load_model
        from sam2v.weights.released import is_hub_id
        from sam2v.weights.skeleton import build_skeleton

        config = self.config
        size = f"model.image_size={config.stages[-1].image_size}"  # what the trained model is for
        overrides = [size, *config.overrides]
        if not is_hub_id(config.model):  # a pattern that matches nothing is noticed before weights are fetched
            self._make_trainable(build_skeleton(load_model_config(config.model, overrides)))
        torch.manual_seed(config.seed)
        start = None if config.grow_from else config.checkpoint
        network = load_model(config.model, start, self.world.device, dtype=torch.float32, overrides=overrides)
        if config.grow_from:
            overrides += config.grow_from
            deepen(load_model(config.model, config.checkpoint, self.world.device, torch.float32, overrides), network)
        if config.checkpoint is None:
            look_nearby(network, config.look_nearby)
        return self._make_trainable(network)

    def _make_trainable(self, network: Sam2Network) -> Sam2Network:
        network.requires_grad_(True)
        network.train()
        if self.config.lora.rank:
            add_lora(network, self.config.lora)
        if self.config.freeze:
            freeze(network, self.config.freeze)
        return network

    def _make_teacher(self) -> Teacher | None:
        from sam2v.weights.load import load_model

        config = self.config.teacher
        if not config.weight:
            return None
        network = load_model(config.model, config.checkpoint, self.world.device, torch.float32, config.overrides)
        return Teacher(network, config.image_size, config.weight)

    def _restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group, made in zip(
            self.optimizer.param_groups, make_optimizer(self.network, self.config.optim).param_groups, strict=True
        ):
            group["peak"] = made["peak"]
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.step = int(state["step"])
        if state["config"]["validation"][:1] == asdict(self.config)["validation"][:1]:
            self.best = float(state["best"])

    def exported(self) -> Sam2Network:
        """The network to use: the average if there is one, low-rank updates merged, in eval mode."""
        network = merged(self.network if self.average is None else self._with_state(self.average.state))
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        return network.eval()

    def _with_state(self, state: dict[str, Tensor]) -> Sam2Network:
        import copy

        network = copy.deepcopy(self.network)
        network.load_state_dict(state)
        return network

    def _save(self, log: RunLog | None) -> None:
        """Validate, then write weights, state and curves (the first process alone)."""
        if self.world.first:
            from sam2v.weights.load import save_checkpoint

            network = self.exported()
            values = self.validate(network, self.step) if self.validate is not None else {}
            first = next(iter(values.values()), math.nan)
            improved = first > self.best
            if improved:
                self.best = first
            state = {
                "step": self.step,
                "best": self.best,
                "model": self.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict() if self.average is not None else None,
            }
            if improved:  # before the state, which says that they are there
                save_checkpoint(network, self.folder / BEST)
            save_checkpoint(network, self.folder / LAST)
            save_state(self.folder / STATE, state, self.config)
            if log is not None:
                if values:
                    log.add("validation", self.step, values)
                log.plot()
        self.world.wait()

    def _report(self, meter: Meter, number: int, log: RunLog | None, bar: Any) -> None:
        row = meter.row()
        self.loss = row["loss"]
        if log is not None:
            log.add("train", self.step, {"stage": float(number), **row})
        bar.set_postfix(loss=f"{row['loss']:.3f}", iou=f"{row['track_iou']:.3f}", refresh=False)

    def _configured_validation(self) -> Validator | None:
        if not self.config.validation:
            return None
        from sam2v.training.validate import make_validator

        return make_validator(self.config)


class Meter:
    """Means over the steps between two rows of the log."""

    def __init__(self) -> None:
        self.steps, self.data_time, self.step_time = 0, 0.0, 0.0
        self.losses: Tensor | None = None
        self.tracked = torch.zeros(2)
        self.norm = self.rate = 0.0

    def add(self, losses: Tensor, tracked: Tensor, norm: float, rate: float, seconds: float) -> None:
        """Count a step: total loss and its parts, sum and number of IoUs, gradient norm, learning rate, time."""
        self.steps += 1
        self.losses = losses.cpu() if self.losses is None else self.losses + losses.cpu()
        self.tracked = self.tracked + tracked.cpu()
        self.norm, self.rate = self.norm + norm, rate
        self.step_time += seconds

    def row(self) -> dict[str, float]:
        """What is logged."""
        assert self.losses is not None
        means = dict(
            zip(("loss", "mask", "dice", "iou", "score", "contrast"), (self.losses / self.steps).tolist(), strict=True)
        )
        iou = float(self.tracked[0] / self.tracked[1]) if self.tracked[1] > 0 else math.nan
        return {
            **means,
            "track_iou": iou,
            "gradient_norm": self.norm / self.steps,
            "rate": self.rate,
            "data_seconds": self.data_time / self.steps,
            "step_seconds": self.step_time / self.steps,
        }


def describe(config: TrainConfig) -> str:
    """One line on what a recipe does."""
    stages = "; ".join(f"{s.steps} steps of {s.batch} x {s.frames} frames at {s.image_size}" for s in config.stages)
    kinds = ", ".join(source.kind for source in config.sources)
    return f"{config.model} on {kinds}: {stages}"
