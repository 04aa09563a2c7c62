"""The Gong records the warehouse reads, as they land in `raw_gong`: metadata, and transcripts if switched on."""

from dagster_project.sources import Table


def _object(table: str, about: str, /, *, key: tuple[str, ...] = ("id",), full: bool = False, **columns: str) -> Table:
    return Table("gong", table, columns, key, full, about)


TABLES = (
    _object(
        "user",
        "Users",
        id="VARCHAR",
        emailAddress="VARCHAR",
        firstName="VARCHAR",
        lastName="VARCHAR",
        active="BOOLEAN",
        managerId="VARCHAR",
        created="TIMESTAMP",
    ),
    _object(
        "call",
        "Recorded calls; `duration` in seconds",
        id="VARCHAR",
        title="VARCHAR",
        scheduled="TIMESTAMP",
        started="TIMESTAMP",
        duration="BIGINT",
        primaryUserId="VARCHAR",
        direction="VARCHAR",
        scope="VARCHAR",
        system="VARCHAR",
        isPrivate="BOOLEAN",
    ),
    _object(
        "call_party",
        "Who was on a call",
        key=("call_id", "id"),
        call_id="VARCHAR",
        id="VARCHAR",
        emailAddress="VARCHAR",
        name="VARCHAR",
        affiliation="VARCHAR",
        userId="VARCHAR",
        speakerId="VARCHAR",
    ),
    _object(
        "call_context",
        "CRM objects a call belongs to",
        key=("call_id", "object_type", "object_id"),
        call_id="VARCHAR",
        system="VARCHAR",
        object_type="VARCHAR",
        object_id="VARCHAR",
    ),
    _object(
        "call_tracker",
        "How often a tracker was heard in a call; 0 where it was not",
        key=("call_id", "id"),
        call_id="VARCHAR",
        id="VARCHAR",
        name="VARCHAR",
        type="VARCHAR",
        count="BIGINT",
    ),
    _object(
        "call_transcript",
        "What was said, a sentence a row, in milliseconds of the call; empty unless transcripts are switched on",
        key=("call_id", "sentence"),
        call_id="VARCHAR",
        sentence="INTEGER",
        speakerId="VARCHAR",
        topic="VARCHAR",
        start_ms="BIGINT",
        end_ms="BIGINT",
        text="VARCHAR",
    ),
)
