"""The queue's transactions, with the clock in hand."""

import threading
from pathlib import Path

import pytest

from server.errors import ServerFullError
from server.jobs.store import FILE_NAME, Job, JobState, JobStore, JobStoreError


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> JobStore:
    return JobStore(tmp_path / "jobs", clock)


def queue(store: JobStore, job_id: str, most: int = 100) -> Job:
    return store.submit(job_id, "probe", "disc", 50, 8, most)


def claim(store: JobStore) -> Job:
    job = store.claim(10, 3)
    assert job is not None
    return job


def test_the_oldest_comes_first_and_only_once(store: JobStore, clock: Clock) -> None:
    for name in "abc":
        queue(store, name)
        clock.now_s += 1
    assert [claim(store).id for _ in range(3)] == ["a", "b", "c"]
    assert store.claim(10, 3) is None
    assert not store.has_work()


def test_many_claimers_never_get_the_same_job(store: JobStore, tmp_path: Path) -> None:
    names = {f"job{i}" for i in range(40)}
    for name in names:
        queue(store, name)
    got: list[str] = []
    start = threading.Barrier(8)

    def take() -> None:
        own = JobStore(tmp_path / "jobs")
        start.wait()
        while (job := own.claim(60, 3)) is not None:
            got.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(names)
    assert set(got) == names


def test_a_lease_that_ran_out_passes_the_job_on_and_the_first_holder_changes_nothing(
    store: JobStore, clock: Clock
) -> None:
    queue(store, "a")
    first = claim(store)
    clock.now_s += 9
    assert store.renew(first, 10, 8, 1.0)
    clock.now_s += 9
    assert store.claim(10, 3) is None
    clock.now_s += 2
    assert store.has_work()
    second = claim(store)
    assert second.id == "a"
    assert second.frames_done == 8
    assert not store.renew(first, 10, 16, None)
    assert not store.stored(first, 16)
    assert not store.finish(first)
    assert not store.fail(first, "no")
    assert not store.release(first)
    assert store.finish(second)
    done = store.get("a")
    assert done is not None
    assert (done.state, done.frames_done, done.error) == (JobState.DONE, 50, None)


def test_a_job_that_kills_its_workers_fails_and_one_that_gets_on_does_not(store: JobStore, clock: Clock) -> None:
    queue(store, "bad")
    for _ in range(3):
        claim(store)
        clock.now_s += 11
    assert store.claim(10, 3) is None
    bad = store.get("bad")
    assert bad is not None
    assert bad.state is JobState.FAILED
    assert "died 3 times" in str(bad.error)
    queue(store, "good")
    for _ in range(9):
        assert store.stored(claim(store), 8)
        clock.now_s += 11
    for _ in range(9):
        assert store.release(claim(store))
    assert claim(store).attempts == 1


def test_cancel_takes_the_job_from_its_worker(store: JobStore) -> None:
    queue(store, "a")
    job = claim(store)
    before = store.cancel("a")
    assert before is not None
    assert before.state is JobState.RUNNING
    assert not store.renew(job, 10, 8, None)
    assert not store.finish(job)
    assert store.claim(10, 3) is None
    assert store.cancel("nobody") is None


def test_the_queue_is_bounded_and_finished_jobs_leave_it(store: JobStore, clock: Clock) -> None:
    queue(store, "a", most=2)
    queue(store, "b", most=2)
    with pytest.raises(ServerFullError, match="All 2 places"):
        queue(store, "c", most=2)
    store.finish(claim(store))
    queue(store, "c", most=2)
    assert store.expired(60) == []
    clock.now_s += 61
    assert store.expired(60) == ["a"]
    store.forget("a")
    store.forget("b")  # not finished: stays
    assert store.ids() == {"b", "c"}


def test_a_database_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all, not even nearly" * 100)
    store = JobStore(tmp_path)
    for call in (lambda: store.get("a"), lambda: store.claim(10, 3), lambda: queue(store, "a")):
        with pytest.raises(JobStoreError, match="check the folder"):
            call()


def test_nothing_is_made_before_there_is_a_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs")
    assert store.get("a") is None
    assert store.claim(10, 3) is None
    assert store.cancel("a") is None
    assert not store.has_work()
    assert store.expired(1) == []
    assert not (tmp_path / "jobs").exists()
