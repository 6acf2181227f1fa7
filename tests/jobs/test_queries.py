"""Queries: the JSON of a job, pages of jobs, retention, statistics."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from framewise.schemas.jobs import Job, JobListQuery
from service.jobs.errors import UnknownJob
from service.jobs.leases import Outcome, cancel_job
from service.jobs.persistence.database import Database
from service.jobs.persistence.tables import JOBS
from service.jobs.queries import Viewer, find_job, job_json, job_statistics, list_jobs, remove_expired_jobs
from tests.jobs.stored_jobs import (
    ALL_JOBS,
    EXPIRED,
    RETENTION_SECONDS,
    claimed_job,
    finished,
    job_request,
    stored_job,
    submitted,
    video,
    with_database,
)


def test_the_json_of_a_job_has_the_fields_of_the_schema_and_the_stored_result(tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        job_id, _ = await submitted(database)

        async def text() -> str:
            return await database.read(lambda connection: job_json(connection, find_job(connection, job_id, ALL_JOBS)))

        assert await text() == Job.model_validate_json(await text()).model_dump_json()
        result = '{"spaces": "are  kept", "digits": 0.10}'
        assert await finished(database, await claimed_job(database), Outcome(result=result, num_clips=1))
        assert list(json.loads(await text())) == list(Job.model_fields)
        assert f'"result":{result},' in await text()

    with_database(f"sqlite:///{tmp_path}/jobs.db", tmp_path, scenario)


def test_a_job_and_its_entry_in_the_list_have_the_file_name_of_the_upload(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        named, _ = await submitted(database, upload=replace(video(), file_name="Grüße 🎬.mp4"))
        unnamed, _ = await submitted(database)
        assert (await stored_job(database, named)).upload.file_name == "Grüße 🎬.mp4"
        page = await database.read(lambda connection: list_jobs(connection, JobListQuery(), ALL_JOBS))
        assert {job.id: job.upload.file_name for job in page.jobs} == {named: "Grüße 🎬.mp4", unnamed: None}

    with_database(database_url, tmp_path, scenario)


def test_jobs_are_listed_latest_first_in_pages_for_each_owner(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        mine = [(await submitted(database, job_request(owner="me")))[0] for _ in range(5)]
        theirs, _ = await submitted(database, job_request(owner="them"))

        async def listed(viewer: Viewer, **query: object) -> tuple[list[str], str | None]:
            list_query = JobListQuery.model_validate(query)
            page = await database.read(lambda connection: list_jobs(connection, list_query, viewer))
            return [summary.id for summary in page.jobs], page.next

        me = Viewer("me", sees_all=False)
        page, after = await listed(me, limit=2)
        pages = [page]
        while after is not None:
            page, after = await listed(me, limit=2, after=after)
            pages.append(page)
        assert [len(page) for page in pages] == [2, 2, 1]
        assert [job_id for page in pages for job_id in page] == sorted(mine, reverse=True)
        assert (await listed(ALL_JOBS))[0] == sorted([*mine, theirs], reverse=True)
        await database.write(lambda connection: cancel_job(connection, mine[2], RETENTION_SECONDS))
        assert await listed(me, state="cancelled") == ([mine[2]], None)
        with pytest.raises(UnknownJob):
            await database.read(lambda connection: find_job(connection, theirs, me))

    with_database(database_url, tmp_path, scenario)


def test_ended_jobs_are_removed_after_their_retention_time(database_url: str, tmp_path: Path) -> None:
    async def scenario(database: Database) -> None:
        kept, _ = await submitted(database)
        await database.write(lambda connection: cancel_job(connection, kept, RETENTION_SECONDS))
        expired, _ = await submitted(database)
        await database.write(lambda connection: cancel_job(connection, expired, EXPIRED))
        waiting, _ = await submitted(database)
        assert await database.write(remove_expired_jobs) == 1
        left = await database.read(lambda connection: set(connection.execute(select(JOBS.c.id)).scalars()))
        assert left == {kept, waiting}
        statistics = await database.read(job_statistics)
        assert statistics.num_by_state == {"cancelled": 1, "queued": 1}
        assert statistics.queue_age_seconds >= 0

    with_database(database_url, tmp_path, scenario)
