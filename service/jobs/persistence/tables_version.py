"""The version of the tables of jobs: whether they are current, and their migration."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from service.jobs.errors import DatabaseFault, DatabaseUnavailable


def has_current_tables(connection: Connection) -> bool:
    """Whether the tables have the version of this code; false for an earlier version and for an empty database.

    Raises:
        DatabaseUnavailable: the tables have a later version.
    """
    versions = set(MigrationContext.configure(connection).get_current_heads())
    if not versions <= _known_versions():
        raise DatabaseUnavailable(DatabaseFault.LATER_VERSION)
    return versions == {_scripts().get_current_head()}


def migrate_tables(connection: Connection) -> None:
    """Migrate the tables to the version of this code.

    Raises:
        DatabaseUnavailable: the tables have a later version, or versions that do not belong together.
    """
    if has_current_tables(connection):
        return
    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseUnavailable(DatabaseFault.OTHER_TABLES) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


@cache
def _known_versions() -> frozenset[str]:
    return frozenset(script.revision for script in _scripts().walk_revisions())
