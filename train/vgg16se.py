"""VGG16 with a squeeze-and-excitation gate, or a relative of it, at the end of each of its five stages.

The state_dict bears the names that `vggse-agent import` expects: `features.N.weight`, with the gates
inside `features` (`features.4.fc.0.weight` …), `classifier.0|3|6.weight|bias`. At full size it has
138,433,832 parameters, 76,288 of them in the gates.
"""

import torch
from torch import nn
from torch.nn import functional as F

from attention import ATTENTION, kind_of

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions (Simonyan 2014, D)


class NormedConv2d(nn.Conv2d):
    """A convolution that carries a batch norm while it learns, and leaves it behind when folded."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.norm = nn.BatchNorm2d(self.out_channels)

    def forward(self, x):
        return self.norm(F.conv2d(x, self.weight, self.bias, padding=self.padding))

    @torch.no_grad()
    def folded(self):
        """Weight and bias of the plain convolution that answers as this one does in evaluation."""
        n = self.norm
        scale = n.weight / (n.running_var + n.eps).sqrt()
        return self.weight * scale[:, None, None, None], n.bias + (self.bias - n.running_mean) * scale


class VGG16SE(nn.Module):
    """Images N×3×S×S to logits N×classes; the defaults are the article's network.

    attention is se, sse, scse, bam, cbam or none (plain VGG16). width scales the channels, or channels lists those of
    the thirteen convolutions, as pruning leaves them, and squeezed the neurons of the five gates; hidden is the size of
    the two fully connected layers (a pair where they differ), pool the side of the map before them (adaptive average). norm=True
    trains with batch norms, which fold_norms removes without changing the answers.
    """

    def __init__(self, classes=1000, width=1.0, reduction=16, hidden=4096, pool=7, dropout=0.5,
                 attention="se", norm=False, channels=None, squeezed=None):
        super().__init__()
        convolution = NormedConv2d if norm else nn.Conv2d
        wide = iter(channels or [int(c * width) for c, depth in STAGES for _ in range(depth)])
        layers, last, self.stages = [], 3, []
        for i, (_, depth) in enumerate(STAGES):
            first = len(layers)
            for _ in range(depth):
                layers += [convolution(last, out := next(wide), 3, padding=1), nn.ReLU(inplace=True)]
                last = out
            if attention != "none":
                layers.append(ATTENTION[attention](last, squeezed[i] if squeezed else max(1, last // reduction)))
            layers.append(nn.MaxPool2d(2))
            self.stages.append((first, len(layers)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(pool)
        first, second = hidden if isinstance(hidden, tuple) else (hidden, hidden)
        self.classifier = nn.Sequential(
            nn.Linear(last * pool * pool, first), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(first, second), nn.ReLU(inplace=True), nn.Dropout(dropout),
            nn.Linear(second, classes),
        )
        self.initialise()

    def initialise(self):
        """He initialisation: without batch norm, nothing else trains from scratch."""
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        nn.init.normal_(self.classifier[6].weight, std=0.01)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    def gates(self):
        """The attention blocks, first stage first; empty for plain VGG16."""
        return [m for m in self.features if isinstance(m, tuple(ATTENTION.values()))]

    def stage(self, i):
        """The modules of stage i, 0 to 4."""
        return self.features[slice(*self.stages[i])]


def convolutions(network):
    return [m for m in network.features if isinstance(m, nn.Conv2d)]


def insert_se(plain, se):
    """Copy a plain VGG16 into a VGG16SE of the same sizes whose gates change nothing yet.

    Every gate is quieted, so that it answers the same for every channel and place; what comes next takes that factor
    back, so that the network begins by answering as the plain one did.
    """
    for mine, theirs in zip(convolutions(se), convolutions(plain)):
        mine.load_state_dict(theirs.state_dict())
    se.classifier.load_state_dict(plain.classifier.state_dict())
    for gate, layer in zip(se.gates(), [se.stage(i)[0] for i in range(1, 5)] + [se.classifier[0]]):
        gate.quieted()
        layer.weight.data.div_(gate.neutral)


def fold_norms(normed, bare):
    """Copy a network trained with batch norms into one of the same sizes without."""
    for mine, theirs in zip(convolutions(bare), convolutions(normed)):
        weight, bias = theirs.folded()
        mine.weight.data.copy_(weight)
        mine.bias.data.copy_(bias)
    for mine, theirs in zip(bare.gates(), normed.gates()):
        mine.load_state_dict(theirs.state_dict())
    bare.classifier.load_state_dict(normed.classifier.state_dict())


@torch.no_grad()
def insert_norms(bare, normed, x):
    """Copy a network without batch norms into one of the same sizes with, for which the images x give the statistics: the
    opposite of fold_norms. A network that has lost channels learns again far faster with them."""
    for mine, theirs in zip(convolutions(normed), convolutions(bare)):
        mine.load_state_dict({**mine.state_dict(), **theirs.state_dict()})
    for mine, theirs in zip(normed.gates(), bare.gates()):
        mine.load_state_dict(theirs.state_dict())
    normed.classifier.load_state_dict(bare.classifier.state_dict())
    normed.eval()
    for m in normed.features:
        if isinstance(m, NormedConv2d):
            variance, mean = torch.var_mean(F.conv2d(x, m.weight, m.bias, padding=m.padding), (0, 2, 3))
            m.norm.running_mean.copy_(mean)
            m.norm.running_var.copy_(variance)
            m.norm.weight.copy_((variance + m.norm.eps).sqrt())
            m.norm.bias.copy_(mean)
        x = m(x)


def sizes_of(weights):
    """What VGG16SE was called with, read off the shapes of a plain state_dict; its order does not matter."""
    weights = dict(sorted(weights.items(), key=lambda e: [int(p) if p.isdigit() else 0 for p in e[0].split(".")]))
    kind = kind_of(weights)
    hidden, columns = weights["classifier.0.weight"].shape
    channels = [len(w) for n, w in weights.items() if n.startswith("features.") and n.count(".") == 2 and w.dim() == 4]
    first = {"bam": "channel.0.weight", "cbam": "mlp.0.weight"}.get(kind, "fc.0.weight")
    squeezed = [len(w) for n, w in weights.items() if n.startswith("features.") and n.endswith(first)]
    return dict(classes=len(weights["classifier.6.bias"]), channels=channels, hidden=(hidden, len(weights["classifier.3.bias"])),
                pool=round((columns / channels[-1]) ** 0.5), attention=kind, squeezed=squeezed)


def from_weights(weights):
    """The network of a plain state_dict, its sizes read off the shapes, ready to evaluate."""
    network = VGG16SE(**sizes_of(weights))
    network.load_state_dict(weights)
    return network.eval()
