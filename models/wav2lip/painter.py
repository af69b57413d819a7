"""The part of the generator that runs for every frame: sound and a row of an avatar in, pixels out."""

import torch
from torch import Tensor, nn

from models.wav2lip.packing import Packing
from models.wav2lip.region import Cutout


class Painter(nn.Module):
    """Draws one part of the picture. The networks are shared by all parts, and not copied."""

    def __init__(
        self,
        ear: nn.Module,
        blocks: nn.ModuleList,
        output: nn.Module,
        flow_block: nn.Module | None,
        cutout: Cutout,
        packing: Packing,
    ) -> None:
        super().__init__()
        self.ear, self.blocks, self.output, self.flow_block = ear, blocks, output, flow_block
        self.cutout, self.packing = cutout, packing

    def forward(self, mel: Tensor, halves: Tensor, coarse: Tensor) -> Tensor:
        """Draw a batch.

        Args:
            mel: (n, 80, 16) float32.
            halves: (n, a) float16, see :class:`Rows`.
            coarse: (n, b) uint8, likewise.

        Returns:
            (n, h, w, 3) uint8 of the part drawn, in the generator's order of colours.
        """
        dtype = next(self.output.parameters()).dtype
        features, reference = self.packing.unpack(halves, coarse, dtype)
        embedding = self.ear(mel.unsqueeze(1).to(dtype))
        drawn = self.cutout.decode(self.blocks, self.output, self.flow_block, embedding, features)
        shown = self.cutout.laid_over(drawn.float(), reference.float().div_(255)).mul_(255).round_()
        return shown.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
