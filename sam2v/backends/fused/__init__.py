"""Fewer and larger operations, for devices that are asked for each of them by the host, which takes longer than small
operations do (docs/performance.md has their number)."""

from __future__ import annotations

from torch import nn

from sam2v.backends.fused.layers import FusedMLP
from sam2v.backends.fused.mask_decoder import FusedMaskDecoder
from sam2v.backends.fused.memory_attention import FusedMemoryAttention, FusedMemoryAttentionLayer
from sam2v.backends.fused.memory_encoder import FusedMemoryEncoder
from sam2v.backends.fused.network import FusedNetwork, FusedPromptEncoder
from sam2v.backends.fused.trunk import FusedHiera, FusedHieraBlock, FusedNeck
from sam2v.backends.fused.two_way import FusedTwoWayTransformer
from sam2v.model.hiera import Hiera, HieraBlock
from sam2v.model.image_encoder import Neck
from sam2v.model.mask_decoder import MaskDecoder, TwoWayTransformer
from sam2v.model.memory_attention import MemoryAttention, MemoryAttentionLayer
from sam2v.model.memory_encoder import MemoryEncoder
from sam2v.model.network import Sam2Network
from sam2v.model.prompt_encoder import PromptEncoder
from sam2v.nn.layers import MLP

FUSED_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    MLP: FusedMLP,
    Hiera: FusedHiera,
    HieraBlock: FusedHieraBlock,
    Neck: FusedNeck,
    MemoryAttention: FusedMemoryAttention,
    MemoryAttentionLayer: FusedMemoryAttentionLayer,
    MemoryEncoder: FusedMemoryEncoder,
    TwoWayTransformer: FusedTwoWayTransformer,
    MaskDecoder: FusedMaskDecoder,
    PromptEncoder: FusedPromptEncoder,
    Sam2Network: FusedNetwork,
}
