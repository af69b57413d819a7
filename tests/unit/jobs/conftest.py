from collections.abc import Callable
from pathlib import Path

import pytest

from server.config import Settings, load_settings
from server.jobs.folder import JobFolder
from server.jobs.store import Job, JobStore
from server.jobs.submission import check_sound, copy_avatar
from tests.unit.jobs.speech import write_speech

Submit = Callable[..., Job]


@pytest.fixture
def job_settings(avatar_folder: Path, tmp_path: Path) -> Settings:
    return load_settings(
        overrides={
            "avatars": {"default": "disc", "folders": [avatar_folder.parent]},
            "jobs": {"folder": tmp_path / "jobs", "chunk_frames": 8, "lease_s": 2.0},
        }
    )


@pytest.fixture
def submit(job_settings: Settings, avatar_folder: Path) -> Submit:
    """Queue a job as the server does."""
    place = job_settings.jobs.place

    def queue(job_id: str, seconds: float = 2.0, engine: str = "probe", seed: int = 1) -> Job:
        folder = JobFolder(place, job_id)
        folder.path.mkdir(parents=True)
        write_speech(folder.sound, seconds, seed)
        copy_avatar(avatar_folder, folder)
        frames = check_sound(folder.sound, 600)
        return JobStore(place).submit(job_id, engine, "disc", frames, job_settings.jobs.chunk_frames, 100)

    return queue
