"""Which HubSpot objects fill which raw tables, and which property fills which column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagster_project.sources import Table
from dagster_project.sources.api.fields import FieldMap
from dagster_project.sources.hubspot.shapes import TABLES

TABLE = {table.name: table for table in TABLES}
HISTORY = ("dealstage", "amount", "closedate", "hubspot_owner_id")  # deal properties whose past is kept
MERGED = "hs_merged_object_ids"  # on the record that stands: ids of those that went, between semicolons
NO_PROPERTY = {"id", "archived", "merged_into_id"}


@dataclass(frozen=True)
class CrmObject:
    """One kind of record.

    name: as paths call it. renamed: columns whose property is called otherwise. linked: columns that hold the id of an
    associated record, and which kind it is. modified: the property that says when a record last changed.
    """

    name: str
    table: Table
    renamed: Mapping[str, str] = field(default_factory=dict)
    linked: Mapping[str, str] = field(default_factory=dict)
    modified: str = "hs_lastmodifieddate"

    def properties(self, fields: FieldMap | None = None) -> dict[str, str]:
        """Column to property. fields: how this portal names them."""
        named = (fields or FieldMap()).of(self.table)
        columns = [name for name in named if name not in NO_PROPERTY and name not in self.linked]
        return {name: self.renamed.get(name, name) if named[name] == name else named[name] for name in columns}


def _engagement(name: str, table: str, title: str) -> CrmObject:
    return CrmObject(
        name,
        TABLE[table],
        renamed={"title": title, "createdate": "hs_createdate"},
        linked={"deal_id": "deals", "company_id": "companies", "contact_id": "contacts"},
    )


DEALS = CrmObject("deals", TABLE["deal"])
COMPANIES = CrmObject("companies", TABLE["company"])
CONTACTS = CrmObject(
    "contacts", TABLE["contact"], renamed={"hs_lastmodifieddate": "lastmodifieddate"}, modified="lastmodifieddate"
)
ENGAGEMENTS = (
    _engagement("calls", "engagement_call", "hs_call_title"),
    _engagement("meetings", "engagement_meeting", "hs_meeting_title"),
    _engagement("emails", "engagement_email", "hs_email_subject"),
    _engagement("tasks", "engagement_task", "hs_task_subject"),
)
GOALS = CrmObject("goal_targets", TABLE["goal_target"], renamed={"createdate": "hs_createdate"})
FORECASTS = CrmObject("forecasts", TABLE["forecast_submission"], renamed={"createdate": "hs_createdate"})
OBJECTS = (COMPANIES, CONTACTS, DEALS, *ENGAGEMENTS, GOALS, FORECASTS)
