"""A session: one peer, one avatar, one timeline. Everything it starts, it ends."""

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCIceServer, RTCSessionDescription
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription
from numpy.typing import NDArray

from models.avatar import Avatar
from models.engine import Engine, Gesturing, Watching
from models.errors import VisavisError
from models.talker import Talker
from models.timebase import FRAME_MS
from server.config import Settings
from server.errors import ConflictError, NotFoundError, RequestError
from server.executor import Executor
from server.media import rtc
from server.media.clock import MediaClock
from server.media.ingress import AudioIngress
from server.media.playout import TICK_MS, Playout, delay_ticks
from server.media.tracks import PictureTrack, SoundTrack
from server.media.webcam import Webcam
from server.metrics import Metrics
from server.scheduler import Work
from server.session_recorder import SessionRecorder

logger = logging.getLogger(__name__)
_PACKET_MS = 20
_TICKS_A_SECOND = 1000 // TICK_MS
_FRAME_S = FRAME_MS / 1000


class Session:
    """Negotiates, then runs one 20 ms tick after another until the peer or the server ends it."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        executor: Executor,
        engine: Engine,
        avatar: Avatar,
        prepared: Any,
        ice_servers: list[RTCIceServer],
    ) -> None:
        self.id = secrets.token_urlsafe(12)
        self.avatar_name, self.engine_name = avatar.name, engine.name
        self._settings, self._metrics, self._executor = settings, metrics, executor
        self._engine = engine
        self._recorder: SessionRecorder | None = None
        self._talker = Talker(engine, avatar, prepared, idle_from=secrets.randbelow(len(avatar)))
        ticks = delay_ticks(engine.window.lookahead_ms, settings.playout.render_budget_ms)
        self._playout = Playout(self._talker, ticks)
        self._sound, self._picture = SoundTrack(), PictureTrack()
        self._ingress: AudioIngress | None = None
        self._webcam: Webcam | None = None
        self._peer = rtc.create_peer_connection(ice_servers)
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._frames_sent = 0
        self._frames_dropped = 0
        self._started_s = 0.0
        self.close_reason: str | None = None

    @property
    def recording_id(self) -> str | None:
        """The recording that is made of it, if one is."""
        return None if self._recorder is None else self._recorder.id

    def record(self, recorder: SessionRecorder) -> None:
        """Have what is heard recorded; the session ends the recording. Call it before ``answer``."""
        self._recorder = recorder
        self._talker.idle_from = 0  # as the film that is made of it later

    async def answer(self, sdp: str) -> str:
        """Take the peer's offer and return our answer's SDP.

        Raises:
            RequestError: the offer is malformed or has no sound to hear.
        """
        _require_audio(sdp)
        self._peer.on("track", self._on_track)
        self._peer.on("connectionstatechange", self._on_state)
        clock = MediaClock()
        for track in (self._sound, self._picture):
            rtc.bind_sender_clock(self._peer.addTrack(track), clock)
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
            await self._peer.setLocalDescription(await self._peer.createAnswer())
        except Exception as error:  # aiortc raises whatever its parser stumbles over
            logger.debug("Offer refused", exc_info=error)
            raise RequestError("The offer's SDP is malformed or incomplete; send a whole browser offer.") from error
        return str(self._peer.localDescription.sdp)

    def start(self, on_end: Callable[["Session"], None]) -> None:
        """Wait for the peer in a task of our own; ``on_end`` is called once when the session is over."""
        self._task = asyncio.create_task(self._run(on_end), name=f"session-{self.id}")

    async def aclose(self, reason: str) -> None:
        """End the session and wait until nothing of it is left. Safe to call twice."""
        if self._closing is None:
            self.close_reason = reason
            self._closing = asyncio.create_task(self._close(), name=f"close-{self.id}")
        await asyncio.shield(self._closing)

    def describe(self) -> dict[str, Any]:
        """What ``GET /sessions/{id}`` tells."""
        stages = self._stages_ms()
        elapsed_s = time.monotonic() - self._started_s if self._started_s else 0.0
        return {
            "session_id": self.id,
            "avatar": self.avatar_name,
            "engine": self.engine_name,
            "state": self._peer.connectionState,
            "delay_ms": {"total": round(sum(stages.values()), 1), **stages},
            "fps": round(self._frames_sent / elapsed_s, 2) if elapsed_s > 1 else None,
            "frames_sent": self._frames_sent,
            "frames_dropped": self._frames_dropped,
            "sound": self._ingress.stats() if self._ingress else None,
            "webcam": self._describe_webcam(),
            "gestures": list(self._engine.gestures) if isinstance(self._engine, Gesturing) else [],
            "recording": self._recorder.describe() if self._recorder else None,
        }

    async def neutral(self) -> dict[str, Any]:
        """The next face before the camera counts as at rest; returns what becomes of the camera.

        Raises:
            ConflictError: no camera moves this session.
        """
        engine = self._engine
        if self._webcam is None or not isinstance(engine, Watching):
            raise ConflictError(
                "No camera moves this session; offer a video track, with an engine that follows faces (liveportrait)."
            )
        try:
            await self._executor.call(lambda: engine.neutral(self._talker.state))
        except VisavisError as error:
            raise ConflictError(str(error)) from error
        return self._describe_webcam() or {}

    def gesturing(self) -> Gesturing:
        """The engine, as one that knows gestures.

        Raises:
            ConflictError: it knows none.
        """
        if not isinstance(self._engine, Gesturing):
            raise ConflictError(
                f"Engine '{self.engine_name}' draws no gestures; open the session with one that moves the whole head "
                "(liveportrait)."
            )
        return self._engine

    async def gesture(self, gesture: Any) -> float:
        """Begin a gesture, in place of the one that runs; returns its seconds.

        ``gesture``: a name, or what the engine's ``gesture_of`` gave.

        Raises:
            ConflictError: the engine knows no gestures.
            NotFoundError: no gesture has that name.
        """
        engine = self.gesturing()
        if isinstance(gesture, str) and gesture not in engine.gestures:
            known = ", ".join(engine.gestures)
            raise NotFoundError(f"There is no gesture '{gesture[:40]}'; choose one of: {known}.")
        return await self._executor.call(lambda: engine.gesture(self._talker.state, gesture))

    def _describe_webcam(self) -> dict[str, Any] | None:
        if self._webcam is None or not isinstance(self._engine, Watching):
            return None
        return {
            "face": self._engine.watched(self._talker.state),
            "fault": self._webcam.fault,
            **self._webcam.stats(),
        }

    def _stages_ms(self) -> dict[str, float]:
        """Delay that each stage adds to the sound."""
        lookahead_ms = self._engine.window.lookahead_ms
        return {
            "packet": _PACKET_MS,
            "ingress": round(self._ingress.delay_ms, 1) if self._ingress else 0.0,
            "lookahead": lookahead_ms,
            "playout": self._playout.delay_ms - lookahead_ms,
        }

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self._ingress is None:
            receiver = next(r for r in self._peer.getReceivers() if r.track is track)
            self._ingress = AudioIngress(receiver)
        elif track.kind == "video" and self._webcam is None:
            if isinstance(self._engine, Watching):
                self._webcam = Webcam(track, self._watch)
            else:
                # Nobody takes these pictures: decoded, they would pile up in aiortc's queue.
                receiver = next(r for r in self._peer.getReceivers() if r.track is track)
                rtc.observe_rtp(receiver, _ignore, decode=False)

    async def _watch(self, picture: NDArray[np.uint8]) -> None:
        """A camera's picture moves the face: found on a thread of its own, understood on the device's."""
        engine, state = self._engine, self._talker.state
        assert isinstance(engine, Watching)
        seen = await asyncio.to_thread(engine.look, state, picture)
        await self._executor.call(lambda: engine.follow(state, seen))

    def _on_state(self) -> None:
        state = self._peer.connectionState
        if state == "connected":
            self._connected.set()
        elif state in ("failed", "closed"):
            self._ended.set()

    async def _run(self, on_end: Callable[["Session"], None]) -> None:
        reason = "fault"
        try:
            reason = await self._live()
        except Exception:
            logger.exception("Session %s failed and is closed", self.id)
        # Only an end of our own gets here: a close from outside cancels this task and does the rest itself.
        self._task = None
        await self.aclose(reason)
        on_end(self)

    async def _live(self) -> str:
        try:
            async with asyncio.timeout(self._settings.sessions.connect_timeout_s):
                await self._connected.wait()
        except TimeoutError:
            return "never connected"
        loop = asyncio.get_running_loop()
        self._started_s = time.monotonic()
        if self._recorder is not None:
            self._recorder.start()
        # All sessions tick on one grid, so that their frames become ready together and share a batch.
        origin_s = math.ceil(self._started_s / _FRAME_S) * _FRAME_S
        while not self._ended.is_set():
            due_s = origin_s + self._playout.tick * TICK_MS / 1000
            # After a stall too, when it is late: pictures that were drawn meanwhile are delivered first.
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            self._metrics.tick_lag_seconds.observe(max(0.0, loop.time() - due_s))
            self._step(origin_s)
            if self._has_vanished():
                return "vanished"
        return "left"

    def _step(self, origin_s: float) -> None:
        """One 20 ms tick: hear, order frames, let frame and sound leave."""
        assert self._ingress is not None
        heard = self._ingress.pull()
        if self._recorder is not None:
            self._recorder.put(heard)
        for job in self._playout.hear(heard):
            deadline_s = origin_s + self._playout.latest_tick(job.index) * TICK_MS / 1000
            self._executor.submit(Work(self.id, self._engine, self._talker, job, deadline_s, self._playout.deliver))
        departure = self._playout.depart()
        if not self._sound.put_samples(departure.tick, departure.samples):
            self._metrics.sound_discarded.inc()
        if departure.tick % _TICKS_A_SECOND == 0:
            for stage, delay_ms in self._stages_ms().items():
                self._metrics.stage_delay.labels(stage=stage).observe(delay_ms / 1000)
        if departure.picture is not None:
            if self._picture.put_picture(departure.picture_tick, departure.picture):
                self._frames_sent += 1
                self._metrics.frames_sent.inc()
            else:
                self._drop("encoder busy")
        elif departure.is_late:
            self._drop("late")

    def _drop(self, reason: str) -> None:
        self._frames_dropped += 1
        self._metrics.frames_dropped.labels(reason=reason).inc()

    def _has_vanished(self) -> bool:
        """No packet for a while: a peer that is there sends sound, or silence, all the time."""
        assert self._ingress is not None
        last_s = max(self._ingress.last_packet_s, self._started_s)
        return time.monotonic() - last_s > self._settings.sessions.vanish_timeout_s

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._executor.forget(self.id)
        self._sound.stop()
        self._picture.stop()
        if self._ingress is not None:
            self._ingress.close()
        try:
            if self._webcam is not None:
                await self._webcam.aclose()
            await self._peer.close()
        finally:
            if self._recorder is not None:
                names = self.avatar_name, self.engine_name
                await self._recorder.aclose(*names, self._playout.delay_ms, self._frames_dropped)
        logger.info("Session %s closed: %s", self.id, self.close_reason)


def _ignore(_packet: RtpPacket, _arrival_s: float) -> None:
    """For packets nobody reads."""


def _require_audio(sdp: str) -> None:
    try:
        description = SessionDescription.parse(sdp)
    except Exception as error:  # aiortc's parser raises whatever it stumbles over
        raise RequestError("The offer's SDP cannot be parsed; send a whole browser offer.") from error
    sound = [media for media in description.media if media.kind == "audio" and media.port]
    if not sound or sound[0].direction not in ("sendrecv", "sendonly", None):
        raise RequestError("The offer sends no audio; add an audio track: the face speaks what it hears.")
