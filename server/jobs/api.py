"""Jobs over HTTP: submit, look, follow, fetch, cancel.

Who holds a job's id may look at it and end it; ids cannot be guessed, and there is no list of them.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from aiohttp import web

from server.config import Settings
from server.errors import ConflictError, NotFoundError, ServerFullError
from server.jobs import picture
from server.jobs.engines import offered
from server.jobs.folder import JobFolder
from server.jobs.store import Job, JobState, JobStore
from server.jobs.submission import Submission, check_names, check_sound, copy_avatar, read_submission
from server.jobs.supervisor import Supervisor
from server.keys import LIBRARY, RECORDINGS, SETTINGS
from server.render import OFFLINE
from server.uploads import require_same_origin

T = TypeVar("T")
_LOOK_S = 0.25
_SAY_S = 1.0
"""A stream of events says something at least this often."""
_MAX_STREAMS = 100
_MAX_HEARD = 2
"""Uploads that are decoded at the same time."""


class JobService:
    """What the routes share. ``start`` before use, ``aclose`` after."""

    def __init__(self, settings: Settings) -> None:
        self.place = settings.jobs.place
        self.store = JobStore(self.place)
        self.supervisor = Supervisor(settings, self.store)
        self.hearing = asyncio.Semaphore(_MAX_HEARD)
        self.closing = asyncio.Event()
        self.streams = 0

    def start(self) -> None:
        """Begin to render what is queued."""
        self.supervisor.start()

    async def aclose(self) -> None:
        """End the workers."""
        await self.supervisor.aclose()

    async def get(self, job_id: str) -> Job:
        """A job.

        Raises:
            NotFoundError: there is none.
        """
        job = await asyncio.to_thread(self.store.get, job_id)
        if job is None:
            raise NotFoundError("There is no such job; it may have been removed after its time.")
        return job

    def folder(self, job_id: str) -> JobFolder:
        """A job's folder."""
        return JobFolder(self.place, job_id)


JOBS = web.AppKey("jobs", JobService)


def routes() -> list[web.RouteDef]:
    """The routes of jobs."""
    return [
        web.post("/jobs", post_job),
        web.get("/jobs/engines", get_engines),
        web.get("/jobs/{id}", get_job),
        web.get("/jobs/{id}/events", get_events),
        web.get("/jobs/{id}/result", get_result),
        web.delete("/jobs/{id}", delete_job),
    ]


async def lifetime(app: web.Application) -> AsyncIterator[None]:
    """Start with the server and end with it."""
    app[JOBS].start()
    try:
        yield
    finally:
        await app[JOBS].aclose()


async def end_streams(app: web.Application) -> None:
    """Before the server waits for its requests: event streams would not end by themselves."""
    app[JOBS].closing.set()


def describe(job: Job, keep_s: float) -> dict[str, Any]:
    """What is told of a job."""
    return {
        "id": job.id,
        "state": job.state.value,
        "engine": job.engine,
        "avatar": job.avatar or None,
        "frames": job.frames,
        "frames_done": job.frames_done,
        "seconds_left": None if job.seconds_left is None else round(job.seconds_left, 1),
        "error": job.error,
        "result": f"/jobs/{job.id}/result" if job.state is JobState.DONE else None,
        "created_unix_s": job.created_s,
        "kept_until_unix_s": None if job.finished_s is None else job.finished_s + keep_s,
    }


async def post_job(request: web.Request) -> web.Response:
    """Queue a render: ``sound`` or ``recording``, ``avatar`` or ``picture``, ``engine``; 201 with the job."""
    require_same_origin(request)
    app, settings, service = request.app, request.app[SETTINGS], request.app[JOBS]
    job_id = uuid.uuid4().hex
    folder = service.folder(job_id)
    try:
        submission = await read_submission(request, folder, settings.jobs.max_upload_bytes)
        engine = check_names(submission, settings.engine.name)
        is_film = engine == OFFLINE
        avatar = await _gather(app, submission, folder, is_film)
        async with service.hearing:
            frames = await _finished(check_sound, folder.sound, settings.jobs.max_sound_s)
            if is_film:
                files = (settings.jobs.sadtalker_weights, settings.jobs.enhancer)
                await _finished(picture.accept, submission.names, folder, *files)
        place = (job_id, engine, avatar, frames, settings.jobs.chunk_frames, settings.jobs.max_waiting)
        job = await _finished(service.store.submit, *place)
    except BaseException:
        await asyncio.to_thread(folder.remove)
        raise
    service.supervisor.notice()
    body = describe(job, settings.jobs.keep_s)
    return web.json_response(body, status=201, headers={"Location": f"/jobs/{job.id}"})


async def get_engines(request: web.Request) -> web.Response:
    """What a job may be drawn by, and what of it is missing on this machine."""
    return web.json_response({"engines": await asyncio.to_thread(offered, request.app[SETTINGS])})


async def _gather(app: web.Application, submission: Submission, folder: JobFolder, is_film: bool) -> str:
    """Put the avatar, and a recording's sound, into the job's folder; returns the avatar's name, "" for a film."""
    avatar = submission.names.get("avatar")
    recording = submission.names.get("recording")
    if is_film:
        if recording:
            await _finished(app[RECORDINGS].copy, recording, folder.sound, None)
        return ""
    # First of all the avatar's name is looked up, so that a wrong one costs nothing.
    source = await app[LIBRARY].folder(avatar or app[SETTINGS].avatars.default) if avatar or not recording else None
    if recording:
        avatars = None if source else folder.avatars
        timeline = await _finished(app[RECORDINGS].copy, recording, folder.sound, avatars)
        avatar = avatar or timeline.avatar
    if source is not None:
        await _finished(copy_avatar, source, folder)
    return avatar or app[SETTINGS].avatars.default


async def get_job(request: web.Request) -> web.Response:
    """How far a job is."""
    job = await request.app[JOBS].get(request.match_info["id"])
    return web.json_response(describe(job, request.app[SETTINGS].jobs.keep_s))


async def get_result(request: web.Request) -> web.FileResponse:
    """The film."""
    service = request.app[JOBS]
    job = await service.get(request.match_info["id"])
    if job.state is not JobState.DONE:
        raise ConflictError(job.error or f"The job is {job.state.value}; its result is there when it is done.")
    headers = {"Content-Disposition": f'attachment; filename="{job.id}.mp4"'}
    return web.FileResponse(service.folder(job.id).result, headers=headers)


async def delete_job(request: web.Request) -> web.Response:
    """Cancel a job, or remove a finished one with its result."""
    require_same_origin(request)
    service = request.app[JOBS]
    job = await asyncio.to_thread(service.store.cancel, request.match_info["id"])
    if job is None:
        raise NotFoundError("There is no such job; it may have been removed after its time.")
    if job.state is not JobState.RUNNING:  # a running job's files are its worker's to remove
        await asyncio.to_thread(service.folder(job.id).remove)
    if job.state.is_final:
        await asyncio.to_thread(service.store.forget, job.id)
    return web.Response(status=204)


async def get_events(request: web.Request) -> web.StreamResponse:
    """Progress as server-sent events (HTML Living Standard, section 9.2).

    Each is named by the job's state and holds what ``GET /jobs/{id}`` tells; the last is ``done``, ``failed`` or
    ``cancelled``.
    """
    service = request.app[JOBS]
    job = await service.get(request.match_info["id"])
    if service.streams >= _MAX_STREAMS:
        raise ServerFullError(f"All {_MAX_STREAMS} event streams are taken; ask for the job's state instead.")
    service.streams += 1
    try:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        await _follow(response, service, job, request.app[SETTINGS].jobs.keep_s)
    except ConnectionResetError:
        pass  # the reader has gone
    finally:
        service.streams -= 1
    return response


async def _follow(response: web.StreamResponse, service: JobService, job: Job, keep_s: float) -> None:
    loop = asyncio.get_running_loop()
    said: dict[str, Any] = {}
    said_s = 0.0
    while True:
        told = describe(job, keep_s)
        if told != said or loop.time() - said_s >= _SAY_S:
            await response.write(f"event: {told['state']}\ndata: {json.dumps(told)}\n\n".encode())
            said, said_s = told, loop.time()
        if job.state.is_final or service.closing.is_set():
            return
        try:
            await asyncio.wait_for(service.closing.wait(), _LOOK_S)
        except TimeoutError:
            pass
        try:
            job = await service.get(job.id)
        except NotFoundError:
            return


async def _finished(function: Callable[..., T], *arguments: Any) -> T:
    """Run a blocking call in a thread; when cancelled, wait for its end, since it writes to what is removed next."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
