"""What a face drawn on leaves of its mouth in what is drawn, on average."""

import torch
from torch import Tensor
from torch.nn import functional

_PATCH_PX = 6
_DECAY = 0.99
"""Of the running averages, a sample: a hundred samples tell what is alike in them from what is not."""
_FIRST_VARIANCE, _LEAST_VARIANCE = 0.04, 1e-3
"""Of a control: until some samples tell it, and below which it tells nothing."""


class Trace:
    """How far the error follows the mouth drawn on, control by control and place by place, for each source of samples.

    Of one sample it is too faint for ``objective.kept``, and of another avatar it is another: a jaw's outline half a
    pixel too low wherever a jaw was open. The running average shows it, and the term pushes against what it shows.
    """

    def __init__(self, sources: int) -> None:
        self._sources = sources
        self.averages: tuple[Tensor, Tensor, Tensor] | None = None
        """Of the controls, of their variances, and of what moves with them; what a resume needs."""

    def term(self, drawn: Tensor, target: Tensor, paste: Tensor, worn: Tensor, source: Tensor) -> Tensor:
        """Mean square over all patches of how the error moves with the controls, in steps of their deviation.

        Its value is the running average's; its gradient is that of these samples.

        Args:
            drawn: (n, 3, h, w) in [0, 1].
            target: likewise.
            paste: (1, 1, h, w), how much each pixel counts, whatever the sample: weights that follow the mouth would
                make a trace of an error that does not.
            worn: (n, K), mouth codes of the faces drawn on.
            source: (n,) int64, which of the sources a sample is of.
        """
        error = functional.avg_pool2d(paste * (drawn - target), _PATCH_PX, ceil_mode=True).flatten(1)
        if self.averages is None:
            controls = worn.shape[1]
            still = torch.zeros(self._sources, controls)
            self.averages = still, still + _FIRST_VARIANCE, torch.zeros(self._sources, controls, error.shape[1])
        mean, variance, along = self.averages
        moved = torch.empty_like(worn)
        for n, s in enumerate(source.tolist()):
            off = worn[n] - mean[s]
            mean[s] += (1 - _DECAY) * off
            variance[s].lerp_(off.square(), 1 - _DECAY)
            moved[n] = off / (variance[s] + _LEAST_VARIANCE).sqrt()
            along[s].lerp_(moved[n, :, None] * error[n].detach(), 1 - _DECAY)
        follows = ((moved[:, :, None] * along[source]).sum(dim=1) * error).mean()
        return along[source].square().sum(dim=1).mean() + 2 * (follows - follows.detach())
