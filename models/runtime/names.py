"""What can be asked for; apart from the rest, since reading settings must not load PyTorch."""

from typing import Literal, get_args

RuntimeName = Literal["auto", "eager", "scripted", "compiled", "tensorrt"]
"""How a network is run; "auto" is scripted on a CPU and compiled on a GPU."""
DeviceName = Literal["auto", "cpu", "cuda"]
"""Where; "auto" is the GPU, if there is one."""
RUNTIMES: tuple[RuntimeName, ...] = get_args(RuntimeName)
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
