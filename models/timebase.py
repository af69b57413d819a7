"""The one time base: everything is an index, nothing a wall clock.

Video frame n is samples [640 n, 640 (n + 1)) at 16 kHz; mel column c is centred on sample 200 c.
"""

SPEECH_RATE_HZ = 16_000
"""Rate the networks hear at."""
WIRE_RATE_HZ = 48_000
"""Rate sound comes in and leaves at (Opus' RTP clock, RFC 7587)."""
FRAMES_PER_SECOND = 25
SAMPLES_PER_FRAME = SPEECH_RATE_HZ // FRAMES_PER_SECOND
FRAME_MS = 1000 // FRAMES_PER_SECOND
MEL_HOP = 200
"""Samples from one mel column to the next: 80 columns a second."""
COLUMNS_PER_SECOND = SPEECH_RATE_HZ // MEL_HOP


def first_column(frame: int, lead_columns: int) -> int:
    """Index of the first mel column of video frame ``frame``'s window, ``lead_columns`` before its start.

    Truncates as the published training does (``int(80 * n / 25)``); may be negative near the beginning.
    """
    return frame * COLUMNS_PER_SECOND // FRAMES_PER_SECOND - lead_columns
