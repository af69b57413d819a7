"""G, the decoder: paints a picture from warped features, twice the size of what M and F see."""

from torch import nn

from models.liveportrait.layers import scaled
from models.spade.network import SpadeDecoder


class SpadeGenerator(SpadeDecoder):
    """Warped features (n, 256 * width, h, w) -> a picture (n, 3, 8h, 8w), of which every cell draws 2x2 pixels."""

    def __init__(self, width: float = 1.0) -> None:
        c = {n: scaled(n, width) for n in (64, 128, 256, 512)}
        conv_img = nn.Sequential(nn.Conv2d(c[64], 12, 3, padding=1), nn.PixelShuffle(2))
        super().__init__(c[256], (c[512], c[256], c[64]), c[128], conv_img)
