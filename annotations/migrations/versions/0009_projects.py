"""Projects: rows that certain people answer, how often, and until when."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("guidelines", sa.Text(), nullable=False),
        sa.Column("answers_per_row", sa.Integer(), nullable=False),
        sa.Column("second_share", sa.Float(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("blind_share", sa.Float(), nullable=True),
        sa.Column("end_answers", sa.Integer(), nullable=True),
        sa.Column("end_day", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("selection", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
        sa.UniqueConstraint("name", name=op.f("uq_projects_name")),
    )
    op.create_table(
        "project_rows",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("query_id", sa.Integer(), nullable=False),
        sa.Column("answers_wanted", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_rows_project_id")),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_project_rows_query_id")),
        sa.PrimaryKeyConstraint("project_id", "query_id", name=op.f("pk_project_rows")),
    )
    op.create_index(op.f("ix_project_rows_query_id"), "project_rows", ["query_id"], unique=False)
    op.create_table(
        "project_members",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_project_members_project_id")),
        sa.PrimaryKeyConstraint("project_id", "annotator", name=op.f("pk_project_members")),
    )
    op.execute(
        "ALTER TABLE assignments ADD COLUMN project_id INTEGER "
        "CONSTRAINT fk_assignments_project_id REFERENCES projects (id)"
    )
