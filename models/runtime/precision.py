"""The numbers a processor multiplies fastest."""

import torch


def drawing_dtype(device: torch.device) -> torch.dtype:
    """Of networks that draw pictures: float16 on a GPU, as published; on a CPU ``preferred_dtype``."""
    return torch.float16 if device.type == "cuda" else preferred_dtype()


def preferred_dtype(device: torch.device | None = None) -> torch.dtype:
    """bfloat16 where the processor multiplies it (AVX512-BF16, AMX; GPUs since compute capability 8.0), else float32.

    Args:
        device: None for the CPU.
    """
    if device is not None and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float32
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if fast else torch.float32
