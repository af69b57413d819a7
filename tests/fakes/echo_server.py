"""A small WebRTC server of known faults: it echoes sound late and shows its level later still, or sooner.

``python -m tests.fakes.echo_server --delay-ms 150 --skew-ms 60`` prints its port. Sound is passed on packet
by packet, not coded again, so nothing but the delay is added. Frame n shows the level of its own 40 ms of
sound in a box below the middle.
"""

import argparse
import asyncio
import os
from fractions import Fraction
from typing import Any

import av
import numpy as np
from aiohttp import web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from av.codec.context import CodecContext

from models.probe.engine import brightness
from server.client import loopback_only
from server.rtp_tap import RtpTap

SIZE = 160
RATE_HZ = 48_000
PACKET_SAMPLES = 960


class DueTrack(MediaStreamTrack):
    """Gives what was put in when it is due."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.queue: asyncio.Queue[tuple[float, Any]] = asyncio.Queue()

    async def recv(self) -> Any:
        if self.readyState != "live":
            raise MediaStreamError
        due_s, item = await self.queue.get()
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
        return item


class Echo:
    """One peer."""

    def __init__(self, delay_s: float, skew_s: float, stall: tuple[float, float]) -> None:
        self.delay_s, self.skew_s, self.stall = delay_s, skew_s, stall
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.audio, self.video = DueTrack("audio"), DueTrack("video")
        self.decoder = CodecContext.create("libopus", "r")
        self.decoder.format, self.decoder.layout, self.decoder.sample_rate = "s16", "stereo", RATE_HZ
        self.first_timestamp: int | None = None
        self.begin_s = 0.0
        self.half: np.ndarray | None = None
        self.half_leaves_s = 0.0
        self.picture = np.tile(np.linspace(60, 200, SIZE).astype(np.uint8), (SIZE * 3 // 2, 1))
        self.picture[SIZE:] = 128

    async def answer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        await self.connection.setRemoteDescription(offer)
        for track in (self.audio, self.video):
            self.connection.addTrack(track)
        for transceiver in self.connection.getTransceivers():
            if transceiver.kind == "audio":
                RtpTap(transceiver.receiver, False, self.hear, lambda ntp_s, rtp: None)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return self.connection.localDescription

    def hear(self, packet: RtpPacket, arrival_s: float) -> None:
        if self.first_timestamp is None:
            self.first_timestamp, self.begin_s = packet.timestamp, arrival_s
        pts = (packet.timestamp - self.first_timestamp) % (1 << 32)
        out = av.Packet(packet.payload)
        out.pts, out.time_base = pts, Fraction(1, RATE_HZ)
        leaves_s = arrival_s + self.delay_s
        self.audio.queue.put_nowait((leaves_s, out))
        sound = self.decoder.decode(av.Packet(packet.payload))[0].to_ndarray().reshape(-1, 2).mean(axis=1) / 32768
        if self.half is None:
            self.half, self.half_leaves_s = sound, leaves_s
            return
        samples, self.half = np.concatenate((self.half, sound)), None
        level_dbfs = 10 * np.log10(np.mean(samples**2) + 1e-12)
        self.show(brightness(float(level_dbfs)), pts - PACKET_SAMPLES, self.half_leaves_s + self.skew_s)

    def show(self, luma: int, pts: int, due_s: float) -> None:
        if self.stall[0] <= due_s - self.begin_s < self.stall[1]:
            return
        self.picture[90:130, 60:100] = luma
        frame = av.VideoFrame.from_ndarray(self.picture, format="yuv420p")
        frame.pts, frame.time_base = pts * 90 // 48, Fraction(1, 90_000)
        self.video.queue.put_nowait((due_s, frame))


def create_app(delay_s: float, skew_s: float, stall: tuple[float, float], places: int) -> web.Application:
    echoes: dict[str, Echo] = {}
    app = web.Application()

    async def offer(request: web.Request) -> web.Response:
        body = await request.json()
        if len(echoes) >= places:
            return web.json_response({"error": "All places are taken; come back later."}, status=503)
        echo = Echo(delay_s, skew_s, stall)
        name = str(id(echo))
        echoes[name] = echo
        answer = await echo.answer(RTCSessionDescription(body["sdp"], body["type"]))
        return web.json_response({"sdp": answer.sdp, "type": answer.type, "session_id": name})

    async def end(request: web.Request) -> web.Response:
        echo = echoes.pop(request.match_info["name"], None)
        if echo is None:
            return web.json_response({"error": "No such session."}, status=404)
        await echo.connection.close()
        return web.Response(status=204)

    async def livez(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "pid": os.getpid(), "sessions": len(echoes)})

    app.router.add_post("/offer", offer)
    app.router.add_delete("/sessions/{name}", end)
    app.router.add_get("/livez", livez)
    return app


async def serve(args: argparse.Namespace) -> None:
    stall = (args.stall_at_s, args.stall_at_s + args.stall_s)
    runner = web.AppRunner(create_app(args.delay_ms / 1000, args.skew_ms / 1000, stall, args.places))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=150)
    parser.add_argument("--skew-ms", type=float, default=60)
    parser.add_argument("--stall-at-s", type=float, default=0)
    parser.add_argument("--stall-s", type=float, default=0)
    parser.add_argument("--places", type=int, default=100)
    with loopback_only():
        asyncio.run(serve(parser.parse_args()))
