"""The CPU's own ways of computing, chosen by measurement (docs/performance.md)."""

from __future__ import annotations

from torch import nn

from sam2v.backends.cpu.attention import CpuAttention, CpuHieraAttention
from sam2v.backends.cpu.layers import CpuConvNeXtBlock, CpuLinear, CpuMemoryEncoder, CpuMLP, CpuNetwork
from sam2v.backends.cpu.mask_decoder import CpuMaskDecoder
from sam2v.backends.cpu.memory_attention import CpuMemoryAttentionLayer
from sam2v.backends.cpu.trunk import CpuHiera, CpuHieraBlock
from sam2v.model.hiera import Hiera, HieraAttention, HieraBlock
from sam2v.model.mask_decoder import MaskDecoder
from sam2v.model.memory_attention import MemoryAttentionLayer
from sam2v.model.memory_encoder import MemoryEncoder
from sam2v.model.network import Sam2Network
from sam2v.nn.attention import Attention
from sam2v.nn.layers import MLP, ConvNeXtBlock

CPU_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: CpuLinear,
    MLP: CpuMLP,
    ConvNeXtBlock: CpuConvNeXtBlock,
    Attention: CpuAttention,
    HieraAttention: CpuHieraAttention,
    HieraBlock: CpuHieraBlock,
    Hiera: CpuHiera,
    MemoryAttentionLayer: CpuMemoryAttentionLayer,
    MaskDecoder: CpuMaskDecoder,
    MemoryEncoder: CpuMemoryEncoder,
    Sam2Network: CpuNetwork,
}
