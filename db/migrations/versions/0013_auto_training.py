"""Training by itself, and the log of a run."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column

revision = "0013"
down_revision = "0012"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Two tables. Training by itself is off: nobody asked for it."""
    op.create_table(
        "auto_training",
        Column("id", sa.Integer(), nullable=False),
        Column("ratings", sa.Integer(), nullable=True),
        Column("hours", sa.Integer(), nullable=True),
        Column("set_by", sa.String(length=120), nullable=False),
        Column("set_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_auto_training"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "run_log",
        Column("run_id", sa.Integer(), nullable=False),
        Column("number", sa.Integer(), nullable=False),
        Column("at", MOMENT, nullable=False),
        Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["training_runs.id"], name="fk_run_log_run_id_training_runs"),
        sa.PrimaryKeyConstraint("run_id", "number", name="pk_run_log"),
    )
