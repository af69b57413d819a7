"""Looking into a network while it runs."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn


class Listener:
    """Keeps the outputs of named modules, of each module's last call."""

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.outputs: dict[str, Tensor] = {}
        self._handles = [module.register_forward_hook(self._keep(name)) for name, module in modules.items()]

    def _keep(self, name: str) -> Callable[..., None]:
        def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            self.outputs[name] = output.detach()

        return keep

    def __enter__(self) -> dict[str, Tensor]:
        return self.outputs

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
