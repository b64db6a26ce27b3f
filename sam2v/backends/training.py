"""The network as it is computed in training."""

from __future__ import annotations

from sam2v.backends.cpu.attention import TRAINING_KINDS
from sam2v.backends.stand_in import stand_in
from sam2v.model.network import Sam2Network


def training_network(network: Sam2Network) -> Sam2Network:
    """A network that learns by the same parameters, with the kernels that are fastest where it is now.

    It is in the mode (training or not) in which the network is.
    """
    return stand_in(network, TRAINING_KINDS, keep_constants=False) if network.device.type == "cpu" else network
