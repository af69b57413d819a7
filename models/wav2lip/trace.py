"""What a face drawn on leaves of its mouth in what is drawn, on average."""

import torch
from torch import Tensor
from torch.nn import functional

_PATCH_PX = 6
_DECAY = 0.99
"""Of the running averages, a sample: a hundred samples tell what is alike in them from what is not."""
_FIRST_VARIANCE, _LEAST_VARIANCE = 0.04, 1e-3
"""Of a control: until some samples tell it, and below which it tells nothing."""
_MOST_BENT = 3.0
"""Lest one wide mouth weigh more than a hundred."""


class Trace:
    """How far the error follows the mouth drawn on, control by control and place by place, for each kind of samples.

    Of one sample it is too faint for ``objective.kept``, and of another avatar it is another: a jaw's outline half a
    pixel too low wherever a jaw was open. The running average shows it, and the term pushes against what it shows: the
    error's mean, how it follows each control, and how its square, for what is right for shut and wide mouths may be
    wrong for those between.
    """

    def __init__(self, kinds: int) -> None:
        self._kinds = kinds
        self.averages: tuple[Tensor, Tensor, Tensor] | None = None
        """Of the controls, of their variances, and of the error and what in it moves with them; what a resume needs."""

    def term(self, drawn: Tensor, target: Tensor, paste: Tensor, worn: Tensor, kind: Tensor) -> Tensor:
        """Mean square over all patches of the error's mean, and of how it moves in steps of the controls' deviations.

        Its value is the running average's; its gradient is that of these samples.

        Args:
            drawn: (n, 3, h, w) in [0, 1].
            target: likewise.
            paste: (1, 1, h, w), how much each pixel counts, whatever the sample: weights that follow the mouth would
                make a trace of an error that does not.
            worn: (n, K), mouth codes of the faces drawn on.
            kind: (n,) int64, which of the kinds a sample is of.
        """
        error = functional.avg_pool2d(paste * (drawn - target), _PATCH_PX, ceil_mode=True).flatten(1)
        if self.averages is None:
            controls = worn.shape[1]
            still = torch.zeros(self._kinds, controls)
            self.averages = still, still + _FIRST_VARIANCE, torch.zeros(self._kinds, 1 + 2 * controls, error.shape[1])
        mean, variance, along = self.averages
        parts = []
        for n, s in enumerate(kind.tolist()):
            off = worn[n] - mean[s]
            mean[s] += (1 - _DECAY) * off
            variance[s].lerp_(off.square(), 1 - _DECAY)
            parts.append(told(off, variance[s]))
            along[s].lerp_(parts[-1][:, None] * error[n].detach(), 1 - _DECAY)
        moved = torch.stack(parts)
        follows = ((moved[:, :, None] * along[kind]).sum(dim=1) * error).mean()
        return along[kind].square().sum(dim=1).mean() + 2 * (follows - follows.detach())


def told(off: Tensor, variance: Tensor) -> Tensor:
    """What an error may follow, (1 + 2 K,), of about unit strength: that there is a mouth, controls, bent controls."""
    spread = variance + _LEAST_VARIANCE
    bent = ((off.square() - variance) / (2 * spread)).clamp(max=_MOST_BENT)
    return torch.cat((off.new_ones(1), off / spread.sqrt(), bent))
