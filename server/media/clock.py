"""The media clock: one origin from which a session's sound and picture are both timed."""

import time
from collections.abc import Callable

NTP_EPOCH_OFFSET_S = 2_208_988_800
"""Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905 section 6."""


class MediaClock:
    """Media time in seconds since an origin that is known both as monotonic and as wall time.

    Tracks stamp frames with a pts in media seconds; sender reports turn the same media seconds into NTP time
    (RFC 3550 section 6.4.1), so a receiver can align sound and picture. Both clocks are passed in, so tests
    run in virtual time. The wall clock is read once: a step of it later cannot tear the streams apart.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self.origin_monotonic_s = monotonic()
        self.origin_unix_s = wall()

    def now_s(self) -> float:
        """Media seconds since the origin."""
        return self._monotonic() - self.origin_monotonic_s

    def monotonic_at(self, media_s: float) -> float:
        """Monotonic clock reading, in seconds, at the media instant ``media_s``."""
        return self.origin_monotonic_s + media_s

    def ntp_time(self, media_s: float) -> int:
        """64-bit NTP timestamp (32.32 fixed point, RFC 5905) of the media instant ``media_s``."""
        whole_s, fraction_s = divmod(self.origin_unix_s, 1.0)
        # Whole and fractional seconds are scaled apart: a double has no room for both at 2**-32 s.
        return (int(whole_s + NTP_EPOCH_OFFSET_S) << 32) + round((fraction_s + media_s) * (1 << 32))
