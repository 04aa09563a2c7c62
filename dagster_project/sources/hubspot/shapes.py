"""The HubSpot objects the warehouse reads, as they land in `raw_hubspot`: one table an object, properties by internal name."""

from dagster_project.sources import Table

_STAMPS = {"createdate": "TIMESTAMP", "hs_lastmodifieddate": "TIMESTAMP", "archived": "BOOLEAN"}


def _object(table: str, about: str, /, *, key: tuple[str, ...] = ("id",), full: bool = False, **columns: str) -> Table:
    return Table("hubspot", table, columns, key, full, about)


_ENGAGEMENT = {
    "id": "VARCHAR", "hubspot_owner_id": "VARCHAR", "hs_timestamp": "TIMESTAMP", "title": "VARCHAR",
    "deal_id": "VARCHAR", "company_id": "VARCHAR", "contact_id": "VARCHAR",
}

TABLES = (
    _object("owner", "Owners, archived ones too", full=True, id="VARCHAR", email="VARCHAR", firstName="VARCHAR",
        lastName="VARCHAR", userId="VARCHAR", teamName="VARCHAR", createdAt="TIMESTAMP", updatedAt="TIMESTAMP", archived="BOOLEAN"),
    _object("company", "Companies", id="VARCHAR", name="VARCHAR", domain="VARCHAR", industry="VARCHAR",
        numberofemployees="BIGINT", segment="VARCHAR", region="VARCHAR", hubspot_owner_id="VARCHAR",
        hs_parent_company_id="VARCHAR", merged_into_id="VARCHAR", **_STAMPS),
    _object("contact", "Contacts", id="VARCHAR", email="VARCHAR", firstname="VARCHAR", lastname="VARCHAR",
        jobtitle="VARCHAR", hs_buying_role="VARCHAR", associatedcompanyid="VARCHAR", lifecyclestage="VARCHAR", **_STAMPS),
    _object("deal", "Deals: the live record, a version each time a load finds it changed",
        id="VARCHAR", dealname="VARCHAR", pipeline="VARCHAR", dealstage="VARCHAR", amount="DECIMAL(18,2)",
        list_amount="DECIMAL(18,2)", discount_rate="DECIMAL(9,4)", deal_currency_code="VARCHAR", closedate="TIMESTAMP",
        hubspot_owner_id="VARCHAR", dealtype="VARCHAR", hs_analytics_source="VARCHAR", product="VARCHAR",
        hs_campaign="VARCHAR", hs_manual_forecast_category="VARCHAR", hs_deal_stage_probability="DECIMAL(9,4)",
        hs_is_closed="BOOLEAN", hs_is_closed_won="BOOLEAN", hs_next_step="VARCHAR", next_step_date="DATE",
        champion="VARCHAR", economic_buyer="VARCHAR", budget_confirmed="BOOLEAN", decision_timeline="DATE",
        competitor="VARCHAR", closed_lost_reason="VARCHAR", salesforce_opportunity_id="VARCHAR", **_STAMPS),
    _object("deal_property_history", "propertiesWithHistory of deals: dealstage, amount, closedate, hubspot_owner_id",
        key=("deal_id", "property", "changed_at", "value"), deal_id="VARCHAR", property="VARCHAR", value="VARCHAR",
        changed_at="TIMESTAMP", source_type="VARCHAR", updated_by_user_id="VARCHAR"),
    _object("deal_pipeline", "Deal pipelines, kept when deleted", full=True, id="VARCHAR", label="VARCHAR",
        displayOrder="INTEGER", archived="BOOLEAN", createdAt="TIMESTAMP", updatedAt="TIMESTAMP"),
    _object("deal_pipeline_stage", "Stages of deal pipelines; versions are renames and reorders", full=True,
        key=("pipeline_id", "id"), id="VARCHAR", pipeline_id="VARCHAR", label="VARCHAR", displayOrder="INTEGER",
        isClosed="BOOLEAN", probability="DECIMAL(9,4)", archived="BOOLEAN", createdAt="TIMESTAMP", updatedAt="TIMESTAMP"),
    _object("deal_company", "Deal to company associations; `is_primary` is the primary label", key=("deal_id", "company_id"),
        deal_id="VARCHAR", company_id="VARCHAR", is_primary="BOOLEAN"),
    _object("deal_contact", "Deal to contact associations", key=("deal_id", "contact_id"),
        deal_id="VARCHAR", contact_id="VARCHAR", label="VARCHAR"),
    _object("merged_deal", "Merges: the deal that went and the one that stands", key=("merged_deal_id",),
        merged_deal_id="VARCHAR", deal_id="VARCHAR", merged_at="TIMESTAMP"),
    _object("engagement_call", "Calls", **_ENGAGEMENT, hs_call_direction="VARCHAR", hs_call_duration="BIGINT",
        hs_call_disposition="VARCHAR", hs_call_status="VARCHAR", **_STAMPS),
    _object("engagement_meeting", "Meetings and demos", **_ENGAGEMENT, hs_activity_type="VARCHAR",
        hs_meeting_start_time="TIMESTAMP", hs_meeting_end_time="TIMESTAMP", hs_meeting_outcome="VARCHAR", **_STAMPS),
    _object("engagement_email", "E-mails", **_ENGAGEMENT, hs_email_direction="VARCHAR", hs_email_status="VARCHAR", **_STAMPS),
    _object("engagement_task", "To-dos; `hs_timestamp` is when it is due", **_ENGAGEMENT, hs_task_status="VARCHAR",
        hs_task_completion_date="TIMESTAMP", **_STAMPS),
)
