"""Which Salesforce object fills which raw table, and what is special about reading it."""

from __future__ import annotations

from dataclasses import dataclass

from dagster_project.sources import Table
from dagster_project.sources.salesforce.shapes import TABLES


@dataclass(frozen=True)
class SObject:
    """An object read row by row.

    stamp: the field that moves when a record changes, which the cursor follows; None for a small object read whole each
    time. bulk: whether the Bulk API takes it. is_optional: an organisation without the feature has no such object.
    is_cleared: Salesforce clears old records away, so an absent one is not taken for deleted.
    """

    name: str
    table: Table
    stamp: str | None = "SystemModstamp"
    bulk: bool = True
    is_optional: bool = False
    is_cleared: bool = False


_TABLE = {table.name: table for table in TABLES}

# Setup objects, history and picklists are refused by the Bulk API or small; the rest may be large.
OBJECTS = (
    SObject("User", _TABLE["user"]),
    SObject("Account", _TABLE["account"]),
    SObject("Contact", _TABLE["contact"]),
    SObject("Campaign", _TABLE["campaign"]),
    SObject("Lead", _TABLE["lead"]),
    SObject("OpportunityStage", _TABLE["opportunity_stage"], stamp=None, bulk=False),
    SObject("Opportunity", _TABLE["opportunity"]),
    SObject("OpportunityHistory", _TABLE["opportunity_history"]),
    SObject("OpportunityFieldHistory", _TABLE["opportunity_field_history"], stamp="CreatedDate", is_cleared=True),
    SObject("OpportunityContactRole", _TABLE["opportunity_contact_role"]),
    SObject("OpportunityLineItem", _TABLE["opportunity_line_item"]),
    SObject("OpportunitySplit", _TABLE["opportunity_split"], is_optional=True),
    SObject("Task", _TABLE["task"]),
    SObject("Event", _TABLE["event"]),
    SObject("DatedConversionRate", _TABLE["dated_conversion_rate"], bulk=False, is_optional=True),
    SObject("ForecastingType", _TABLE["forecasting_type"], stamp=None, bulk=False, is_optional=True),
)
# Read by streams of their own, because an answer is not yet a row.
CURRENCY_TYPE, QUOTA, FORECAST = _TABLE["currency_type"], _TABLE["forecasting_quota"], _TABLE["forecasting_item"]
