"""Builds the parts of jobs from the settings; called once, by `service.app`."""

from typing import TYPE_CHECKING

from service.jobs.database import Database
from service.jobs.deliveries import Persistence
from service.jobs.jobs import Jobs
from service.jobs.listeners import Listeners
from service.jobs.runner import Explain, Runner
from service.jobs.settings import JobSettings
from service.jobs.uploads import JobUploads
from service.jobs.webhooks import Webhooks
from service.prediction.classifier import Classifier

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


def build_jobs(
    settings: JobSettings,
    classifier: Classifier,
    explain: Explain,
    tracing: "Tracing | None",
    *,
    max_upload_seconds: float,
) -> Jobs | None:
    """The jobs as they are set up, nothing opened yet; None where there is no directory for them."""
    if settings.jobs_dir is None:
        return None
    url = settings.database_url
    database = Database(
        f"sqlite:///{settings.jobs_dir.absolute()}/jobs.db" if url is None else url.get_secret_value(),
        settings.jobs_dir,
    )
    uploads = JobUploads(settings.jobs_dir / "uploads")
    listeners = Listeners(settings.max_job_listeners)
    webhooks = Webhooks(
        database,
        classifier.metrics,
        Persistence(
            max_attempts=settings.webhook_max_attempts,
            backoff_seconds=settings.webhook_backoff_seconds,
            max_age_seconds=settings.webhook_max_age_seconds,
        ),
        allowed_hosts=settings.webhook_allowed_hosts,
        is_private_allowed=settings.webhook_private_addresses,
        secret=b"" if settings.webhook_secret is None else settings.webhook_secret.get_secret_value().encode(),
    )
    runner = Runner(
        database=database,
        uploads=uploads,
        listeners=listeners,
        webhooks=webhooks,
        classifier=classifier,
        explain=explain,
        tracing=tracing,
        settings=settings,
        max_upload_seconds=max_upload_seconds,
    )
    return Jobs(
        database=database,
        uploads=uploads,
        listeners=listeners,
        webhooks=webhooks,
        runner=runner,
        classifier=classifier,
        settings=settings,
    )
