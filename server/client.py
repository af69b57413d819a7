"""A scripted WebRTC client: sends speech to a visavis server and notes what comes back, packet by packet.

Nothing is decoded while the session runs, so that many clients fit beside the server they measure; see
``server.recording`` for what is made of the notes.
"""

import asyncio
import contextlib
import time
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import aioice.ice
import av
import numpy as np
import soxr
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs.opus import OpusEncoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket

from models.errors import MediaError, VisavisError
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ
from server.measure import Floats, unwrap
from server.rtp_tap import RtpTap

FRAME_S = 0.02
FRAME_SAMPLES = WIRE_RATE_HZ // 50
REQUEST_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
KEPT_SOUND_S = 120.0
"""Sound and pictures kept a session: about 1.2 MB of Opus, 8 MB of video."""
BLOCK_S = 8.0
"""A run longer than that is sampled in blocks of this length, evenly spread."""


class ClientError(VisavisError):
    """A session could not be had from the server, or was lost."""


@dataclass(frozen=True)
class Speech:
    """Sound to send over and over."""

    loop: Floats
    """(n,) mono at 16 kHz."""
    packets: tuple[bytes, ...]
    """The same as Opus packets of 20 ms, encoded once for all sessions, in the midst of repetition."""


def read_speech(path: Path, pause_s: float = 0.0) -> Speech:
    """Decode any sound FFmpeg knows, add a pause and encode it as Opus. Blocks; raises ``MediaError``."""
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path} has no sound; name a file with speech.")
            resampler = av.AudioResampler("s16", "mono", WIRE_RATE_HZ)
            frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
            frames += resampler.resample(None)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path} cannot be read as sound ({error}); name a sound file FFmpeg knows.") from error
    pieces = [frame.to_ndarray()[0] for frame in frames if frame.samples]
    pcm = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
    if not len(pcm):
        raise MediaError(f"{path} holds no sound at all; name a file with speech.")
    pcm = np.pad(pcm, (0, round(pause_s * WIRE_RATE_HZ)))
    pcm = np.pad(pcm, (0, -len(pcm) % FRAME_SAMPLES))
    encoder, packets = OpusEncoder(), []
    # The second pass' packets: there the encoder remembers the loop's end, as when it sends the loop again.
    for number, piece in enumerate(np.tile(pcm, 2).reshape(-1, FRAME_SAMPLES)):
        frame = av.AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = WIRE_RATE_HZ, Fraction(1, WIRE_RATE_HZ), number * 960
        packets += encoder.encode(frame)[0]
    loop = soxr.resample(pcm.astype(np.float64) / 32768, WIRE_RATE_HZ, SPEECH_RATE_HZ)
    return Speech(np.asarray(loop), tuple(packets[len(packets) // 2 :]))


class SpeechTrack(MediaStreamTrack):
    """Sends the loop in real time by a monotonic clock, and notes when each frame left."""

    kind = "audio"

    def __init__(self, speech: Speech) -> None:
        super().__init__()
        self._packets = speech.packets
        self.send_times_s = array("d")
        """``time.monotonic()`` at which frame i left."""
        self._start_s = 0.0

    async def recv(self) -> Any:
        """The next 20 ms as an Opus packet, when it is due; late ones follow at once."""
        if self.readyState != "live":
            raise MediaStreamError
        number = len(self.send_times_s)
        if number == 0:
            self._start_s = time.monotonic()
        wait_s = self._start_s + number * FRAME_S - time.monotonic()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        packet = av.Packet(self._packets[number % len(self._packets)])
        packet.pts, packet.time_base = number * FRAME_SAMPLES, Fraction(1, WIRE_RATE_HZ)
        self.send_times_s.append(time.monotonic())
        return packet


class Stream:
    """One received RTP stream's counters; sequence numbers and timestamps without their wraps."""

    def __init__(self) -> None:
        self.reports: list[tuple[float, int]] = []
        """(NTP seconds, unwrapped RTP timestamp) of each RTCP sender report."""
        self.received = 0
        self._first_sequence = self._last_sequence = self._last_timestamp = -1

    @property
    def lost(self) -> int:
        """Packets that never came, not even retransmitted."""
        return max(0, self._last_sequence - self._first_sequence + 1 - self.received) if self.received else 0

    def timestamp(self, rtp: int) -> int:
        """``rtp`` without wraps."""
        return unwrap(rtp, self._last_timestamp) if self._last_timestamp >= 0 else rtp

    def add(self, packet: RtpPacket) -> tuple[int, int]:
        """Count a packet; returns its sequence number and timestamp without wraps."""
        if not self.received:
            # One wrap up, so that what overtakes the first packet stays positive.
            self._first_sequence = self._last_sequence = packet.sequence_number + (1 << 16)
            self._last_timestamp = packet.timestamp + (1 << 32)
        self.received += 1
        sequence = unwrap(packet.sequence_number, self._last_sequence, bits=16)
        timestamp = self.timestamp(packet.timestamp)
        self._last_sequence = max(self._last_sequence, sequence)
        self._last_timestamp = max(self._last_timestamp, timestamp)
        return sequence, timestamp

    def report(self, ntp_s: float, rtp: int) -> None:
        """Note a sender report; one from before the first packet cannot be placed and is left out."""
        if self.received:
            self.reports.append((ntp_s, self.timestamp(rtp)))


@dataclass
class Recording:
    """What one session received, on ``time.monotonic()``."""

    keep_pictures: bool = False
    offered_s: float | None = None
    first_frame_s: float | None = None
    """Seconds from the offer's POST to the first video frame whose every packet had arrived."""
    audio: Stream = field(default_factory=Stream)
    video: Stream = field(default_factory=Stream)
    frame_arrivals_s: "array[float]" = field(default_factory=lambda: array("d"))
    """When the marker packet of each distinct RTP timestamp arrived."""
    sound: list[tuple[int, float, bytes]] = field(default_factory=list)
    """(unwrapped RTP timestamp, arrival, Opus payload) of the packets kept."""
    pictures: list[tuple[int, str, bytes]] = field(default_factory=list)
    """(unwrapped RTP timestamp, codec, encoded frame) from the first frame on."""
    kept_from_s: float = float("inf")
    kept_seconds: float = 0.0

    def keep(self, start_s: float, seconds: float) -> None:
        """Keep sound from ``start_s``: all of it, or blocks spread evenly over a run beyond the limit."""
        self.kept_from_s, self.kept_seconds = start_s, seconds

    def keeps(self, now_s: float) -> bool:
        """Whether sound that arrives now is kept."""
        since_s = now_s - self.kept_from_s
        if not 0 <= since_s < self.kept_seconds:
            return False
        return since_s % (max(1.0, self.kept_seconds / KEPT_SOUND_S) * BLOCK_S) < BLOCK_S


class Client:
    """One session: ``connect``, let it run, ``close``."""

    def __init__(self, http: aiohttp.ClientSession, url: str, speech: Speech, keep_pictures: bool = False) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self.recording = Recording(keep_pictures)
        self.track = SpeechTrack(speech)
        self.errors: list[str] = []
        self._session_id: str | None = None
        self._first_frame = asyncio.Event()
        self._frame_packets: dict[int, list[int]] = {}
        self._seen_frames: deque[int] = deque(maxlen=64)
        self._closing = False
        self._connection = connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.on("connectionstatechange", self._note_state)
        audio = connection.addTransceiver(self.track, direction="sendrecv")
        self._video = connection.addTransceiver("video", direction="recvonly")
        RtpTap(audio.receiver, False, self._hear, self.recording.audio.report)
        on_frame = self._keep_picture if keep_pictures else None
        RtpTap(self._video.receiver, True, self._see, self.recording.video.report, on_frame)

    async def connect(self, wishes: dict[str, str], timeout_s: float) -> None:
        """Offer, and wait for the first frame; ``wishes`` are the offer's ``avatar`` and ``engine``.

        Raises ``ClientError`` when the server refuses or nothing has come ``timeout_s`` after the offer.
        """
        await self._connection.setLocalDescription(await self._connection.createOffer())
        local = self._connection.localDescription
        self.recording.offered_s = time.monotonic()
        answer = await self._post_offer({"sdp": local.sdp, "type": local.type, **wishes})
        self._session_id = answer.get("session_id")
        await self._connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], answer["type"]))
        remaining_s = self.recording.offered_s + timeout_s - time.monotonic()
        try:
            await asyncio.wait_for(self._first_frame.wait(), max(0.0, remaining_s))
        except TimeoutError:
            state = self._connection.connectionState
            raise ClientError(
                f"No video frame came within {timeout_s:g} s of the offer (connection {state}); "
                "look at the server's log and at whether UDP reaches it."
            ) from None

    async def _post_offer(self, offer: dict[str, str]) -> dict[str, Any]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        try:
            async with self._http.post(f"{self._url}/offer", json=offer, timeout=timeout) as response:
                answer = await response.json(content_type=None)
                if response.status != 200 or not isinstance(answer, dict) or "sdp" not in answer:
                    said = answer.get("error") if isinstance(answer, dict) else None
                    raise ClientError(f"{self._url}/offer answered {response.status}: {said or 'no description'}")
                return answer
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ClientError(
                f"{self._url}/offer cannot be used ({error or type(error).__name__}); "
                "start the server there or mend --url."
            ) from error

    async def close(self) -> None:
        """End the session on the server, then the connection. Bounded in time; may be called twice."""
        self._closing = True
        if self._session_id is not None:
            session_id, self._session_id = self._session_id, None
            try:
                timeout = aiohttp.ClientTimeout(total=CLOSE_TIMEOUT_S)
                address = f"{self._url}/sessions/{session_id}"
                async with self._http.delete(address, timeout=timeout) as response:
                    if response.status not in (200, 204, 404):
                        self.errors.append(f"DELETE {address} answered {response.status} instead of 204.")
            except (aiohttp.ClientError, TimeoutError) as error:
                self.errors.append(f"The session could not be ended: {error or type(error).__name__}.")
        self.track.stop()
        try:
            await asyncio.wait_for(self._connection.close(), CLOSE_TIMEOUT_S)
        except TimeoutError:
            self.errors.append(f"The connection did not close within {CLOSE_TIMEOUT_S:g} s.")

    def _note_state(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed") and not self._closing:
            self.errors.append(f"The connection {state} during the run; look at the server's log.")

    def _hear(self, packet: RtpPacket, arrival_s: float) -> None:
        _, timestamp = self.recording.audio.add(packet)
        if self.recording.keeps(arrival_s):
            self.recording.sound.append((timestamp, arrival_s, packet.payload))

    def _see(self, packet: RtpPacket, arrival_s: float) -> None:
        recording = self.recording
        sequence, timestamp = recording.video.add(packet)
        if packet.marker and timestamp not in self._seen_frames:
            self._seen_frames.append(timestamp)
            recording.frame_arrivals_s.append(arrival_s)
        if recording.first_frame_s is None and recording.offered_s is not None:
            got = self._frame_packets.setdefault(timestamp, [0, sequence, -1])
            got[:2] = got[0] + 1, min(got[1], sequence)
            if packet.marker:
                got[2] = sequence
            if got[2] - got[1] + 1 == got[0]:
                recording.first_frame_s = arrival_s - recording.offered_s
                self._frame_packets.clear()
                self._first_frame.set()

    def _keep_picture(self, frame: JitterFrame) -> None:
        recording = self.recording
        begun_s = (recording.offered_s or 0.0) + (recording.first_frame_s or 0.0)
        # Whole from the first key frame on: a frame cannot be decoded without those before it.
        if time.monotonic() < max(begun_s, min(recording.kept_from_s, begun_s + 60)) + KEPT_SOUND_S:
            codec = self._video._codecs[0].name if self._video._codecs else ""
            recording.pictures.append((recording.video.timestamp(frame.timestamp), codec, frame.data))


def is_loopback(url: str) -> bool:
    """Whether ``url`` names this machine by its loopback interface."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


@contextlib.contextmanager
def loopback_only() -> Iterator[None]:
    """Narrow the host's own ICE addresses to 127.0.0.1, which aioice leaves out by itself."""
    whole = aioice.ice.get_host_addresses
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    try:
        yield
    finally:
        aioice.ice.get_host_addresses = whole
