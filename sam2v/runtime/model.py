"""An exported model: what predictors ask of a network, computed by onnxruntime."""

from __future__ import annotations

from os import PathLike

import numpy as np

from sam2v.arrays import HOST
from sam2v.backends.batched import BatchedCalls
from sam2v.config import ModelConfig
from sam2v.runtime.calls import GraphCalls
from sam2v.runtime.constants import read_constants
from sam2v.runtime.graphs import Graphs
from sam2v.runtime.manifest import Manifest, NotAnExport, read_manifest
from sam2v.runtime.providers import check_provider, check_threads


class ExportedModel(BatchedCalls):
    """The network's calls on exported graphs. Any number of predictors and threads may share one; see `load_export`.

    Attributes:
        manifest: what its folder says. provider: the execution provider. threads: of each graph, 0 for all cores.
    """

    image_only = False

    def __init__(self, manifest: Manifest, provider: str, threads: int) -> None:
        self.manifest, self.provider, self.threads = manifest, provider, threads
        channels = manifest.config.hidden_dim
        constants = read_constants(manifest.constants.path, ("no_obj_ptr", "no_mem_embed"))
        if any(constant.size != channels for constant in constants.values()):
            raise NotAnExport(f"{manifest.constants.path}: the constants are not of {channels} channels")
        self._no_obj_ptr = constants["no_obj_ptr"].reshape(1, channels)
        self._calls = GraphCalls(Graphs(manifest, provider, threads), constants["no_mem_embed"])

    @property
    def config(self) -> ModelConfig:
        """The network's sizes."""
        return self.manifest.config

    @property
    def device(self) -> str:
        """Where arrays are: NumPy's."""
        return HOST

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU computes."""
        return self.provider == "CPU"

    @property
    def precision(self) -> str:
        """What features and memories are kept in."""
        return self.manifest.dtype

    @property
    def no_obj_ptr(self) -> np.ndarray:
        """The pointer of an object that is not there, 1 x C."""
        return self._no_obj_ptr

    @property
    def model(self) -> ExportedModel:
        """This."""
        return self

    @property
    def calls(self) -> GraphCalls:
        """The calls, of any number of rows."""
        return self._calls

    def checksum(self) -> str:
        """Tells the weights that were exported from others."""
        return self.manifest.checksum

    def __repr__(self) -> str:
        kind = self.manifest.approximate or self.manifest.dtype
        return f"ExportedModel({self.config.name or 'unnamed'}, {kind}, {self.provider})"


def load_export(folder: str | PathLike[str], provider: str = "CPU", threads: int | None = None) -> ExportedModel:
    """Open what `sam2v export --format onnx` wrote. Its files are checked; graphs that everything needs are loaded
    in the background, others when they are first used.

    Args:
        folder: the export.
        provider: onnxruntime's execution provider: "CPU", "CUDA", "CoreML", "OpenVINO" or "DirectML". What a provider
            cannot compute runs on the CPU.
        threads: of a graph on the CPU; None takes all cores.

    Raises:
        FileNotFoundError: no such folder. ValueError: it is no export, of a newer version, or a file of it is missing
            or altered; or the provider is not there (those that are there are listed). TypeError: no number of threads.
        ImportError: onnxruntime is not installed.
    """
    count = check_threads(threads)
    manifest = read_manifest(folder)
    for record in (*manifest.graphs.values(), manifest.constants, manifest.weights):
        record.check()
    return ExportedModel(manifest, check_provider(provider), count)
