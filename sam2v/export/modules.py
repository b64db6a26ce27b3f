"""Which modules a graph holds in another form than the network has them."""

from __future__ import annotations

from torch import Tensor, nn

from sam2v.backends.joined import JoinedNetwork
from sam2v.export.attention import GraphAttention, GraphHieraAttention
from sam2v.export.memory_attention import GraphMemoryAttentionLayer
from sam2v.model.hiera import HieraAttention
from sam2v.model.mask_decoder import DecodedMasks
from sam2v.model.memory_attention import MemoryAttentionLayer
from sam2v.model.network import Sam2Network
from sam2v.model.values import Wanted
from sam2v.nn.attention import Attention


class CandidatesNetwork(Sam2Network):
    """The network, but every candidate mask is answered: whoever runs an exported call takes those that are wanted."""

    def _offer_masks(self, raw: DecodedMasks, wanted: Wanted) -> tuple[Tensor, Tensor, Tensor]:
        return raw.masks, raw.iou, raw.tokens

    def _low_resolution(self, mask: Tensor) -> Tensor:
        return self.mask_downsample(mask.to(self.mask_downsample.weight.dtype))


class GraphNetwork(CandidatesNetwork, JoinedNetwork):
    """The network as it is exported."""

    def prepare(self) -> None:
        """Join levels, and compute what depends on sizes and weights alone, so that no graph does."""
        super().prepare()
        h, w = (side // 16 for side in self.config.input_size)
        for table in (self.position_codes, self.memory_codes, self.rotations, self.sam_prompt_encoder.dense_position):
            table(h, w)
        self.sam_prompt_encoder.label_table()
        self.image_encoder.trunk.position_embedding(4 * h, 4 * w)


#: What an exported call is compared with.
PLAIN_KINDS: dict[type[nn.Module], type[nn.Module]] = {Sam2Network: CandidatesNetwork}
GRAPH_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    Attention: GraphAttention,
    HieraAttention: GraphHieraAttention,
    MemoryAttentionLayer: GraphMemoryAttentionLayer,
    Sam2Network: GraphNetwork,
}
