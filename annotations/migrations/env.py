"""Alembic's entry point: migrates the connection that `annotations.migrations.upgrade` hands over."""

from alembic import context

from annotations.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
    transactional_ddl=True,  # the caller's transaction holds the whole upgrade, in SQLite too
)
context.run_migrations()
