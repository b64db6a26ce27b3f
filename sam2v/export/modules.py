"""Which modules an exported call holds in another form than the network has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sam2v.backends.joined import JoinedNetwork
from sam2v.export.attention import GraphAttention, GraphHieraAttention
from sam2v.export.memory_attention import GraphMemoryAttentionLayer
from sam2v.model.hiera import HieraAttention
from sam2v.model.mask_decoder import DecodedMasks
from sam2v.model.memory_attention import MemoryAttentionLayer
from sam2v.model.network import Sam2Network
from sam2v.model.values import ImageFeatures, Wanted
from sam2v.nn.attention import Attention


class CandidatesNetwork(Sam2Network):
    """The network, but every candidate mask is answered: whoever runs an exported call takes those that are wanted."""

    def _offer_masks(self, raw: DecodedMasks, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor]:
        return raw.masks, raw.iou, raw.tokens


class ExportedNetwork(CandidatesNetwork, JoinedNetwork):
    """The network as it is exported. The memory encoder computes in float32, whatever features and memories are."""

    def prepare(self) -> None:
        """Join levels, and compute what depends on sizes and weights alone, so that no graph does."""
        super().prepare()
        h, w = (side // 16 for side in self.config.input_size)
        for table in (self.position_codes, self.memory_codes, self.rotations, self.sam_prompt_encoder.dense_position):
            table(h, w)
        self.sam_prompt_encoder.label_table()
        self.image_encoder.trunk.position_embedding(4 * h, 4 * w)

    @property
    def dtype(self) -> torch.dtype:
        """What images are encoded and memories are kept in."""
        return self.image_encoder.trunk.patch_embed.proj.weight.dtype

    def write_memory(
        self, features: ImageFeatures, masks: Tensor, object_score: Tensor, binarize: bool | Tensor = False
    ) -> Tensor:
        """See `Sam2Network.write_memory`."""
        features = features._replace(stride16=features.stride16.float())
        return super().write_memory(features, masks, object_score, binarize).to(self.dtype)

    def _low_resolution(self, mask: Tensor) -> Tensor:
        return self.mask_downsample(mask.to(self.mask_downsample.weight.dtype))  # of any number of rows, hence at once


#: What an exported call is compared with, what programs of torch hold, and what graphs hold.
PLAIN_KINDS: dict[type[nn.Module], type[nn.Module]] = {Sam2Network: CandidatesNetwork}
PROGRAM_KINDS: dict[type[nn.Module], type[nn.Module]] = {Sam2Network: ExportedNetwork}
GRAPH_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    **PROGRAM_KINDS,
    Attention: GraphAttention,
    HieraAttention: GraphHieraAttention,
    MemoryAttentionLayer: GraphMemoryAttentionLayer,
}


def convert(network: Sam2Network, dtype: torch.dtype) -> Sam2Network:
    """Image encoder (with the decoder's two layers behind it) and memory attention in another precision, in place: what
    else is in float16 loses the object, since its errors grow from frame to frame."""
    fine = (network.sam_mask_decoder.conv_s0, network.sam_mask_decoder.conv_s1)
    for part in (network.image_encoder, *fine, network.memory_attention):
        part.to(dtype)
    return network
