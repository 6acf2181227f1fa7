"""Builds the jobs from the settings; called once, by `service.app`."""

from typing import TYPE_CHECKING

from service.inference.repository import ModelRepository
from service.jobs.attempts import AttemptRunner, Explain, ExplainAndLog
from service.jobs.changes import ChangeDetector
from service.jobs.completion import Completion
from service.jobs.delivery.deliveries import RetryPolicy
from service.jobs.delivery.webhooks import Webhooks
from service.jobs.jobs import Jobs
from service.jobs.listeners import Listeners
from service.jobs.persistence.database import Database
from service.jobs.persistence.storage import JobStorage
from service.jobs.runner import Runner
from service.jobs.settings import JobSettings
from service.jobs.sweep import Sweeper
from service.jobs.uploads import JobUploads
from service.lifecycle import Lifecycle
from service.prediction.admission import Admission
from service.prediction.classifier import Classifier
from service.telemetry.metrics import Metrics
from service.uploads.receiver import UploadReceiver

if TYPE_CHECKING:
    from service.telemetry.tracing import Tracing


def build_jobs(
    settings: JobSettings,
    *,
    lifecycle: Lifecycle,
    admission: Admission,
    models: ModelRepository,
    receiver: UploadReceiver,
    classifier: Classifier,
    metrics: Metrics,
    explain: Explain,
    explain_and_log: ExplainAndLog,
    tracing: "Tracing | None",
    max_upload_seconds: float,
) -> Jobs | None:
    """Build the jobs and open nothing; None if no directory is configured for them."""
    if settings.jobs_dir is None:
        return None
    url = settings.database_url
    database = Database(
        f"sqlite:///{settings.jobs_dir.absolute()}/jobs.db" if url is None else url.get_secret_value(),
        settings.jobs_dir,
        settings.database_timeout_seconds,
    )
    uploads = JobUploads(settings.jobs_dir / "uploads")
    storage = JobStorage(database, uploads, lifecycle)
    listeners = Listeners(settings.max_job_listeners, settings.job_share_per_key)
    webhooks = _build_webhooks(settings, database, metrics)
    runner = Runner(
        storage=storage,
        database=database,
        listeners=listeners,
        webhooks=webhooks,
        attempts=AttemptRunner(
            database=database,
            uploads=uploads,
            listeners=listeners,
            classifier=classifier,
            explain_and_log=explain_and_log,
            settings=settings,
            tracing=tracing,
        ),
        completion=Completion(
            database=database,
            uploads=uploads,
            listeners=listeners,
            metrics=metrics,
            explain=explain,
            settings=settings,
        ),
        changes=ChangeDetector(database, listeners),
        sweeper=Sweeper(database, uploads, max_upload_seconds),
        settings=settings,
    )
    return Jobs(
        storage=storage,
        database=database,
        uploads=uploads,
        listeners=listeners,
        webhooks=webhooks,
        runner=runner,
        admission=admission,
        models=models,
        receiver=receiver,
        settings=settings,
    )


def _build_webhooks(settings: JobSettings, database: Database, metrics: Metrics) -> Webhooks:
    return Webhooks(
        database,
        metrics,
        RetryPolicy(
            max_attempts=settings.webhook_max_attempts,
            backoff_seconds=settings.webhook_backoff_seconds,
            max_age_seconds=settings.webhook_max_age_seconds,
        ),
        allowed_hosts=settings.webhook_allowed_hosts,
        is_private_allowed=settings.webhook_private_addresses,
        secret=b"" if settings.webhook_secret is None else settings.webhook_secret.get_secret_value().encode(),
        max_concurrent=settings.webhook_max_concurrent,
    )
