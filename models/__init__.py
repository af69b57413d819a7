"""Networks, avatars and signal processing. Knows no asyncio and no aiortc."""
