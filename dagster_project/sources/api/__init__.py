"""The base of the API connectors. Here is what they share; what an API means stands in its own connector.

How a connector is written
--------------------------
A connector is an `ApiSource` that lists `Stream`s, and one `Client` they ask::

    class HubspotSource(ApiSource):
        origin = "hubspot"
        def __init__(self, access, folder, say=print, fields=None, pause=time.sleep): ...   # Gong has no field map
        def tables(self): return list(shapes.TABLES)
        def now(self): return self.client.now()          # the API's clock, from the Date header of its answers
        def reading(self): return <hash of the field map and whatever else changes how rows are read>
        def streams(self): return [DealStream(self.client, ...), OwnerStream(self.client), ...]

    class DealStream(Stream):
        name = "deals"                                    # names its folder and its progress lines
        tables = (DEAL, DEAL_PROPERTY_HISTORY, DEAL_COMPANY)   # one stream may fill several tables
        def partitions(self, cursor): return ["2024-01-01/2024-02-01", ...]    # JSON-able texts, remembered on disk
        def pages(self, partition, resume):
            after = resume
            while True:
                answer = self.client.get("/crm/v3/objects/deals", {"after": after, ...})
                after = next_after(answer)                # None on the last page
                yield Page({"deal": [{...}, ...], "deal_property_history": [...]}, resume=after, reached="2024-…")
                if after is None: return

* A row is a dict by column name, values as JSON gives them (or a `pa.RecordBatch` of text columns): all is spooled as
  text and the landing step casts. Instants as ISO 8601 with zone, dates as YYYY-MM-DD, booleans as such. What cannot
  be cast is rejected whole by the landing step: so a changed type needs no code. A missing column lands as null.
* `Page.reached` is the greatest change instant in the page, as a text that sorts like time; the greatest of all pages
  is what `Stream.cursor(before, reached)` makes the next cursor from. The cursor is any text (JSON if more is needed),
  is recorded with the load in `raw_<source>.loads`, and comes back to `partitions`/`is_whole` once that load was
  accepted; a refused or killed load moves no cursor. Subtract the overlap when reading, not when recording.
* `Stream.is_whole(cursor)`: a pull that carries every record (default: one without a cursor). Absent records then
  count as deleted; return False where a pull from the beginning is still a window. For a table declared `full` in its
  shape every pull must carry all rows.
* A record read twice in a pull is no problem: the row read last stands. So read partitions in order of change time and
  leave the last one open-ended.
* `Client`: `get`, `post` answer JSON; `open` within `repeat` streams. Retries, Retry-After, pace, quota, token renewal
  and redaction are done there; describe the API in a `Dialect` and a `login` that returns a `Grant`. `ApiError.status`
  and `.code` say what was refused (Gong's "no calls": catch status 404). Raise `Again` inside `repeat` for an answer
  that is incomplete. Tests hand in `pause=lambda seconds: None`.
* `Drift.readable(object, wanted, there)` gives the fields to ask for, and reports missing and new ones.
* The source class stands in `sources/<name>/source.py`; `__init__.py` imports nothing, because `warehouse.py` reads the
  shapes of all sources and is not to load HTTP for them.
* The registry opens `HubspotSource(access, folder, fields=FieldMap)` and `GongSource(access, folder)`;
  `FieldMap.of(table)` (`fields.py`) gives column to field for a table, renamed as the organisation says.
* Hand `self.tell` (not `say`) to `Client` and `Drift`: the landing step names another listener for each load.
* Settings: `access.py` reads <NAME>_* variables; the registry opens the source. Mistakes are a one-line `UserError`.
"""

from dagster_project.sources.api.client import Client, Dialect, Grant, Pace
from dagster_project.sources.api.drift import Drift
from dagster_project.sources.api.errors import Again, ApiError, QuotaExhausted, Unavailable
from dagster_project.sources.api.redaction import Secret, redact
from dagster_project.sources.api.source import ApiSource, Page, Stream

__all__ = [
    "Again",
    "ApiError",
    "ApiSource",
    "Client",
    "Dialect",
    "Drift",
    "Grant",
    "Pace",
    "Page",
    "QuotaExhausted",
    "Secret",
    "Stream",
    "Unavailable",
    "redact",
]
