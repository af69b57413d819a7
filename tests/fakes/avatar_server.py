"""A small real server with the demo page's HTTP API.

An aiortc peer echoes the sound and sends a moving picture.
"""

import asyncio
import itertools
from pathlib import Path

import cv2
import numpy as np
from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription, VideoStreamTrack
from av import VideoFrame

STATIC = Path(__file__).parents[2] / "static"
CSP = "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; style-src 'self'; connect-src 'self'"
SIDE_PX = 256


def draw(step: int) -> np.ndarray:
    """A disc on a slope, (256, 256, 3) BGR uint8, that moves a little every step."""
    image = np.full((SIDE_PX, SIDE_PX, 3), (150, 120, 90), np.uint8)
    centre = (SIDE_PX // 2 + int(60 * np.sin(step / 6)), SIDE_PX // 2)
    cv2.circle(image, centre, 50, (200, 220, 250), -1, cv2.LINE_AA)
    return image


class MovingPicture(VideoStreamTrack):
    """An endless moving picture, or `picture` (BGR uint8) moved by a pixel."""

    def __init__(self, picture: np.ndarray | None = None) -> None:
        super().__init__()
        self._picture = picture
        self._step = itertools.count()

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        step = next(self._step)
        image = draw(step) if self._picture is None else np.roll(self._picture, step % 2, axis=1)
        frame = VideoFrame.from_ndarray(image, format="bgr24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class AvatarServer:
    """What the tests turn (``full``, ``away``) and read (``offers``, ``deleted``)."""

    def __init__(self, pictures: dict[str, np.ndarray] | None = None) -> None:
        self.address = ""
        self.full = False
        self.away = False
        self.retry_after_s = 1
        self.offers: list[dict[str, str]] = []
        self.deleted: list[str] = []
        self.peers: dict[str, RTCPeerConnection] = {}
        self._pictures = pictures or {}
        self._ids = itertools.count(1)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._front])
        app.add_routes(
            [
                web.get("/", self._index),
                web.get("/avatars", self._avatars),
                web.get("/avatars/{name}/portrait.jpg", self._portrait),
                web.get("/config", self._config),
                web.post("/offer", self._offer),
                web.get("/sessions/{id}", self._session),
                web.delete("/sessions/{id}", self._delete),
                web.static("/static", STATIC),
            ]
        )
        app.on_shutdown.append(lambda _: self.drop())
        return app

    async def drop(self) -> None:
        """Closes every peer, as a server does that restarts."""
        peers, self.peers = list(self.peers.values()), {}
        await asyncio.gather(*(pc.close() for pc in peers))

    @web.middleware
    async def _front(self, request: web.Request, handler: web.RequestHandler) -> web.StreamResponse:
        if self.away and request.transport is not None:
            # What a crashed server looks like from the page: the socket just closes.
            request.transport.close()
        response: web.StreamResponse = await handler(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    async def _index(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _avatars(self, _: web.Request) -> web.Response:
        avatars = [
            {
                "name": name,
                "title": name.title(),
                "licence": "CC0-1.0",
                "portrait": f"/avatars/{name}/portrait.jpg",
                "width": SIDE_PX,
                "height": SIDE_PX,
            }
            for name in ("ada", "ben", "cleo")
        ]
        return web.json_response({"avatars": avatars, "default": "ada"})

    async def _portrait(self, request: web.Request) -> web.Response:
        picture = self._pictures.get(request.match_info["name"], draw(0))
        return web.Response(body=cv2.imencode(".jpg", picture)[1].tobytes(), content_type="image/jpeg")

    async def _config(self, _: web.Request) -> web.Response:
        return web.json_response({"ice_servers": [], "sample": "/static/sample.wav", "engines": ["wav2lip"]})

    async def _offer(self, request: web.Request) -> web.Response:
        offer = await request.json()
        self.offers.append(offer)
        if self.full:
            return web.json_response(
                {"error": "All 2 places are taken; try again in a moment."},
                status=503,
                headers={"Retry-After": str(self.retry_after_s)},
            )
        session_id = f"s{next(self._ids)}"
        pc = self.peers[session_id] = RTCPeerConnection()
        pc.addTrack(MovingPicture(self._pictures.get(offer["avatar"])))
        pc.on("track", lambda track: pc.addTrack(track) if track.kind == "audio" else None)
        await pc.setRemoteDescription(RTCSessionDescription(offer["sdp"], offer["type"]))
        await pc.setLocalDescription(await pc.createAnswer())
        answer = pc.localDescription
        return web.json_response({"sdp": answer.sdp, "type": answer.type, "session_id": session_id})

    async def _session(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        if session_id not in self.peers:
            return web.json_response({"error": f"No session {session_id}."}, status=404)
        delay_ms = {"total": 162.0, "ingress": 42.0, "lookahead": 80.0, "playout": 40.0}
        state = self.peers[session_id].connectionState
        return web.json_response(
            {"session_id": session_id, "state": state, "delay_ms": delay_ms, "fps": 25.0, "frames_dropped": 0}
        )

    async def _delete(self, request: web.Request) -> web.Response:
        session_id = request.match_info["id"]
        self.deleted.append(session_id)
        pc = self.peers.pop(session_id, None)
        if pc is not None:
            await pc.close()
        return web.Response(status=204)
