"""The numbers a processor multiplies fastest."""

import torch


def preferred_dtype() -> torch.dtype:
    """bfloat16 where the processor multiplies it (AVX512-BF16, AMX), else float32."""
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if fast else torch.float32
