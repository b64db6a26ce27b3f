"""Stand-ins share weights with the network they stand in for, and follow it."""

from __future__ import annotations

import pytest
import torch
from models import nano_by_rule, pictures

import sam2v
from sam2v.backends.base import Backend, backend_for
from sam2v.backends.training import training_network


def encoded(backend: Backend) -> torch.Tensor:
    return backend.encode_image(pictures(0, 1, 96, 96)).stride4


def test_the_network_is_not_touched() -> None:
    network = nano_by_rule()
    before = {name: type(module) for name, module in network.named_modules()}
    backend = Backend(network)
    assert type(backend.calls) is not type(network)
    assert {name: type(module) for name, module in network.named_modules()} == before
    with torch.no_grad():
        torch.testing.assert_close(network.encode_image(pictures(0, 1, 96, 96)).stride4, encoded(backend))


def test_new_weights_are_prepared_anew() -> None:
    network, other = nano_by_rule(), nano_by_rule("other-")
    backend = Backend(network)
    before, prepared = encoded(backend), backend.calls
    assert backend.calls is prepared, "nothing is prepared twice"
    network.load_state_dict(other.state_dict())
    torch.testing.assert_close(encoded(backend), encoded(Backend(other)))
    with torch.no_grad():
        network.sam_mask_decoder.conv_s0.weight.mul_(2)  # joined with another one
    assert not torch.equal(encoded(backend), before)
    torch.testing.assert_close(encoded(backend), encoded(Backend(network)))
    network.load_state_dict(nano_by_rule().state_dict(), assign=True)
    torch.testing.assert_close(encoded(backend), before)


def test_a_converted_network_is_prepared_anew() -> None:
    network = nano_by_rule()
    backend = Backend(network)
    assert encoded(backend).dtype == torch.float32
    network.set_precision(torch.bfloat16)
    assert encoded(backend).dtype == torch.bfloat16
    network.set_precision(torch.float32)
    assert encoded(backend).dtype == torch.float32


def test_a_backend_computes_no_gradients() -> None:
    with torch.enable_grad():
        assert not encoded(Backend(nano_by_rule())).requires_grad


def test_training_learns_by_the_network_s_own_parameters() -> None:
    network = nano_by_rule().requires_grad_(True)
    training_network(network).encode_image(pictures(0, 1, 96, 96)).stride16.sum().backward()
    assert network.image_encoder.trunk.pos_embed.grad is not None
    with torch.no_grad():
        learns = training_network(network)
        first = learns.encode_image(pictures(0, 1, 96, 96)).stride16
        network.image_encoder.trunk.pos_embed.add_(1)  # constants of learned weights are not kept
        assert not torch.equal(learns.encode_image(pictures(0, 1, 96, 96)).stride16, first)


def test_only_models_have_backends() -> None:
    with pytest.raises(TypeError, match=r"sam2v\.load_model, got str"):
        backend_for("sam2v_nano")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"sam2v\.load_model, got dict"):
        sam2v.VideoPredictor({})  # type: ignore[arg-type]
