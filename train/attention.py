"""Attention blocks that stand at the end of a VGG stage: SE and the relatives that the article names in its section 8.2.

Each takes and returns N×C×H×W; middle is the neurons of its bottleneck (sSE has none). Two things train.py
needs of them: `quieted()` shrinks what makes the gate, so that it begins as the constant `neutral` for every channel
and place. The names of the parameters are what `vggse-agent import` knows them by.
"""

import torch
from torch import nn


def bottleneck(channels, middle, bias=False):
    """Two matrices with a ReLU between."""
    return [nn.Linear(channels, middle, bias=bias), nn.ReLU(inplace=True), nn.Linear(middle, channels, bias=bias)]


def as_map(gate):
    """N×C as N×C×1×1."""
    return gate[:, :, None, None]


class SEBlock(nn.Module):
    """Squeeze and excitation (Hu et al. 2018, arXiv 1709.01507, section 3, equations 2 to 4): weighs channels by what
    their means say together."""

    neutral = 0.5

    def __init__(self, channels, middle):
        super().__init__()
        self.fc = nn.Sequential(*bottleneck(channels, middle), nn.Sigmoid())

    def forward(self, x):
        return x * as_map(self.fc(x.mean((2, 3))))

    def quieted(self):
        self.fc[2].weight.data.mul_(0.01)


class SSEBlock(nn.Module):
    """Channel squeeze and spatial excitation (Roy et al. 2018, arXiv 1803.02579, section 2): weighs places by a 1×1
    convolution over the channels."""

    neutral = 0.5

    def __init__(self, channels, middle):
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x):
        return x * torch.sigmoid(self.conv(x))

    def quieted(self):
        self.conv.weight.data.mul_(0.001)


class SCSEBlock(nn.Module):
    """Concurrent spatial and channel squeeze and excitation (Roy et al. 2018, section 2): the sum of the two. The matrices
    of the channel part have no biases, as SEBlock's."""

    neutral = 1

    def __init__(self, channels, middle):
        super().__init__()
        self.fc = nn.Sequential(*bottleneck(channels, middle), nn.Sigmoid())
        self.conv = nn.Conv2d(channels, 1, 1, bias=False)

    def forward(self, x):
        return x * as_map(self.fc(x.mean((2, 3)))) + x * torch.sigmoid(self.conv(x))

    def quieted(self):
        self.fc[2].weight.data.mul_(0.01)
        self.conv.weight.data.mul_(0.001)


class BAMBlock(nn.Module):
    """Bottleneck attention (Park et al. 2018, arXiv 1807.06514, section 3): x + x·σ(channels + places), equations 1 and 2.
    The channel branch is a bottleneck (equation 3), the spatial one 1×1, two dilated 3×3 and 1×1 convolutions (equation 4);
    each ends in a batch norm, which balances the two and which import folds away."""

    neutral = 1.5

    def __init__(self, channels, middle, dilation=4):
        super().__init__()
        self.channel = nn.Sequential(*bottleneck(channels, middle, bias=True), nn.BatchNorm1d(channels))
        wide = dict(padding=dilation, dilation=dilation)
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, middle, 1), nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, **wide), nn.ReLU(inplace=True),
            nn.Conv2d(middle, middle, 3, **wide), nn.ReLU(inplace=True),
            nn.Conv2d(middle, 1, 1), nn.BatchNorm2d(1))

    def forward(self, x):
        return x + x * torch.sigmoid(as_map(self.channel(x.mean((2, 3)))) + self.spatial(x))

    def quieted(self):
        self.channel[3].weight.data.fill_(0.01)
        self.spatial[7].weight.data.fill_(0.01)


class CBAMBlock(nn.Module):
    """Convolutional block attention (Woo et al. 2018, arXiv 1807.06521, section 3): channels by one bottleneck over mean
    and maximum (equation 2), then places by a 7×7 convolution over the channels' mean and maximum (equation 3)."""

    neutral = 0.25

    def __init__(self, channels, middle):
        super().__init__()
        self.mlp = nn.Sequential(*bottleneck(channels, middle))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        x = x * as_map(torch.sigmoid(self.mlp(x.mean((2, 3))) + self.mlp(x.amax((2, 3)))))
        both = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * torch.sigmoid(self.spatial(both))

    def quieted(self):
        self.mlp[2].weight.data.mul_(0.01)
        self.spatial.weight.data.mul_(0.001)


ATTENTION = {"se": SEBlock, "sse": SSEBlock, "scse": SCSEBlock, "bam": BAMBlock, "cbam": CBAMBlock}


def kind_of(weights):
    """Which attention a state_dict of VGG16SE has; "none" for plain VGG16."""
    inside = {n.split(".", 2)[2] for n in weights if n.startswith("features.4.")}
    for kind, part in (("bam", "channel.0.weight"), ("cbam", "spatial.weight")):
        if part in inside:
            return kind
    places, channels = "conv.weight" in inside, "fc.0.weight" in inside
    return {(True, True): "scse", (True, False): "sse", (False, True): "se", (False, False): "none"}[places, channels]
