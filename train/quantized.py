"""Rounding to 8 bits as the INT8 files of `vggse-agent calibrate` do it, while a network learns.

Weights: signed, one scale for each output channel, the largest to 127. What layers put out: unsigned, 0 to 255 of a threshold that
is learned along (the gradient of Esser et al. 2020, arXiv 1902.08153, section 2.1). The picture: the range of its preprocessing.
Rounding passes gradients on as if it were not there (Bengio et al. 2013, arXiv 1308.3432).
"""

import torch
from torch import nn
from torch.nn.utils import parametrize

from attention import SEBlock
from data import MEAN, STD


def rounded(x):
    return x + (x.round() - x).detach()


class RoundedWeight(nn.Module):
    def forward(self, w):
        scale = w.detach().flatten(1).abs().amax(1).clamp_min(1e-12) / 127
        scale = scale.view(-1, *[1] * (w.dim() - 1))
        return rounded(w / scale) * scale


class Site(nn.Module):
    """What one layer puts out, kept up to threshold in 255 steps. It watches until it is told to round."""

    def __init__(self):
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(()))
        self.rounds = False

    def forward(self, x):
        if not self.rounds:
            with torch.no_grad():
                self.threshold.clamp_(min=x.max())
            return x
        scale = self.threshold.abs().clamp_min(1e-6) / 255
        return rounded((x / scale).clamp(0, 255)) * scale


def picture(x):
    """An image in the codes of its file."""
    low, high = (0 - MEAN) / STD, (1 - MEAN) / STD
    low, high = min(low.min().item(), 0), max(high.max().item(), 0)
    scale = (high - low) / 255
    return (x / scale).round() * scale


class Quantized(nn.Module):
    """A VGG16SE that learns in 8 bits. scales() are the thresholds by the names of our graphs' tensors."""

    def __init__(self, network):
        super().__init__()
        self.network, self.sites = network, nn.ModuleDict()
        for name, m in list(network.named_modules()):
            if isinstance(m, (nn.Conv2d, nn.Linear)) and name.count(".") == 1:
                parametrize.register_parametrization(m, "weight", RoundedWeight(), unsafe=True)
            elif isinstance(m, nn.ReLU) and name.count(".") == 1 or m in network.gates():
                self.watch(name, m)
            if isinstance(m, SEBlock):  # the gates of others are not the output of one module
                self.watch(f"{name}.gate", m.fc)
        network.features[0].register_forward_pre_hook(lambda _, args: (picture(args[0]),))

    def watch(self, name, module):
        site = self.sites[name.replace(".", "/")] = Site()
        module.register_forward_hook(lambda _, __, out: site(out))

    def forward(self, x):
        return self.network(x)

    @torch.no_grad()
    def observe(self, batches):
        """Take the largest values of some batches for a start, and round from then on."""
        self.eval()
        for x in batches:
            self(x)
        for site in self.sites.values():
            site.rounds = True

    def scales(self):
        return {name: abs(site.threshold.item()) for name, site in self.sites.items()}

    def bare(self):
        """The network without any of this, its weights as they are before rounding."""
        for m in list(self.network.modules()):
            if parametrize.is_parametrized(m):
                parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
            m._forward_hooks.clear()
            m._forward_pre_hooks.clear()
        return self.network
