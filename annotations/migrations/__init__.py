"""The schema's history (alembic), applied when a store is opened and by `python -m annotations migrate`."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from annotations.errors import DatabaseTooNew

HEAD = "0014"
"""The newest revision in `versions/`. Known here so that opening a current database needs no alembic."""
FOLDER = Path(__file__).parent


def current(connection: Connection) -> str | None:
    """The revision of a database, or None for an empty one. Read-only."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(connection: Connection, target: str = "head") -> bool:
    """Apply what is missing up to a revision, in the caller's transaction; True when something was.

    Raises DatabaseTooNew.
    """
    from alembic import command  # 0.3 s to import, and needed once in a database's life
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(20260117)"))  # one program migrates at a time
    revision = current(connection)
    if revision == HEAD:
        return False
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    if revision is not None:
        revisions = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if revision not in revisions:
            raise DatabaseTooNew(
                f"The database has schema {revision!r}; this program knows up to {HEAD!r}. Install a newer one."
            )
    config.attributes["connection"] = connection
    command.upgrade(config, target)
    return True
