"""What all tables share: names of constraints, types of columns, timestamps."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import DateTime, MetaData, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from core.clock import utc_now

# JSON documents as PostgreSQL gives them back.
Document = dict[str, Any]


class Base(DeclarativeBase):
    """Root of the models; its metadata is what migrations are compared with."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        UUID: Uuid(),
        Document: JSONB(none_as_null=True),
        list[Document]: JSONB(none_as_null=True),
        dict[str, str]: JSONB(none_as_null=True),
    }


class Timestamps:
    """When a row was made and last changed; services set `updated_at` by their clock."""

    created_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=900)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now, sort_order=901)
