"""The canonical tables of the files source, as they land in `raw_files`: what `mapping.yml` maps an export onto.

`REQUIRED` names the columns a mapping must give. Every table starts with `source_system`, the mapping's `source`.
"""

from dagster_project.sources import Table

TEXT, MONEY, RATE, DATE, AT, FLAG, COUNT = (
    "VARCHAR", "DECIMAL(18,2)", "DECIMAL(18,8)", "DATE", "TIMESTAMP", "BOOLEAN", "BIGINT",
)


def _canonical(table: str, about: str, /, *, key: tuple[str, ...], **columns: str) -> Table:
    # `extra_attributes`: JSON text of the columns a mapping lists under `extra`
    shape = {"source_system": TEXT, **columns, "extra_attributes": TEXT}
    return Table("files", table, shape, ("source_system", *key), about=about)


TABLES = (
    _canonical("stages", "The mapping's stage list, in order", key=("pipeline", "stage"),
        pipeline=TEXT, stage=TEXT, stage_order="INTEGER", is_pipeline=FLAG, outcome=TEXT, probability="DECIMAL(9,4)",
        forecast_category=TEXT),
    _canonical("users", "People", key=("user_id",), user_id=TEXT, name=TEXT, email=TEXT, role=TEXT, manager_id=TEXT,
        team=TEXT, segment=TEXT, region=TEXT, hire_date=DATE, start_date=DATE, end_date=DATE, end_reason=TEXT,
        is_active=FLAG, annual_quota_amount=MONEY),
    _canonical("user_assignments", "Who was on which team, when", key=("user_id", "valid_from"), user_id=TEXT,
        valid_from=DATE, valid_to=DATE, status=TEXT, end_reason=TEXT, team=TEXT, segment=TEXT, manager_id=TEXT, role=TEXT),
    _canonical("accounts", "Accounts", key=("account_id",), account_id=TEXT, name=TEXT, domain=TEXT, industry=TEXT,
        segment=TEXT, region=TEXT, employee_count=COUNT, owner_id=TEXT, parent_id=TEXT, created_at=AT),
    _canonical("contacts", "Contacts", key=("contact_id",), contact_id=TEXT, account_id=TEXT, name=TEXT, email=TEXT,
        title=TEXT, role=TEXT),
    _canonical("opportunities", "Deals: the live record", key=("opportunity_id",), opportunity_id=TEXT, stage=TEXT,
        pipeline=TEXT, external_id=TEXT, account_id=TEXT, owner_id=TEXT, name=TEXT, type=TEXT, lead_source=TEXT,
        campaign_id=TEXT, product=TEXT, forecast_category=TEXT, probability="DECIMAL(9,4)", amount=MONEY, list_amount=MONEY,
        discount_rate="DECIMAL(9,4)", currency_code=TEXT, created_at=AT, close_date=DATE, closed_at=AT, is_closed=FLAG,
        is_won=FLAG, next_step=TEXT, next_step_date=DATE, champion=TEXT, economic_buyer=TEXT, budget_confirmed=FLAG,
        decision_timeline=DATE, competitor=TEXT, loss_reason=TEXT, is_deleted=FLAG, merged_into_id=TEXT, last_modified_at=AT),
    _canonical("opportunity_history", "What changed on a deal, when", key=("opportunity_id", "field", "changed_at", "new_value"),
        opportunity_id=TEXT, field=TEXT, old_value=TEXT, new_value=TEXT, changed_at=AT, changed_by=TEXT),
    _canonical("opportunity_contacts", "Contacts on a deal", key=("opportunity_id", "contact_id", "role"),
        opportunity_id=TEXT, contact_id=TEXT, role=TEXT),
    _canonical("activities", "Activities", key=("activity_id",), activity_id=TEXT, type=TEXT, owner_id=TEXT, account_id=TEXT,
        opportunity_id=TEXT, contact_id=TEXT, occurred_at=AT, duration_minutes="DECIMAL(18,2)", direction=TEXT, outcome=TEXT,
        is_completed=FLAG, subject=TEXT),
    _canonical("activity_participants", "Who took part", key=("activity_id", "email", "contact_id"), activity_id=TEXT,
        email=TEXT, contact_id=TEXT),
    _canonical("leads", "Leads", key=("lead_id",), lead_id=TEXT, source=TEXT, campaign_id=TEXT, created_at=AT, owner_id=TEXT,
        qualified_at=AT, converted_at=AT, opportunity_id=TEXT, status=TEXT),
    _canonical("campaigns", "Campaigns", key=("campaign_id",), campaign_id=TEXT, name=TEXT, source=TEXT, start_date=DATE,
        end_date=DATE, cost_amount=MONEY),
    _canonical("quotas", "Quotas", key=("user_id", "team", "period_start", "period_end", "type"), user_id=TEXT, team=TEXT,
        period_start=DATE, period_end=DATE, amount=MONEY, currency_code=TEXT, type=TEXT),
    _canonical("forecast_calls", "Submitted calls; commit includes won to date", key=("user_id", "period_start", "submitted_at", "scope"),
        user_id=TEXT, period_start=DATE, submitted_at=AT, scope=TEXT, currency_code=TEXT, commit_amount=MONEY,
        best_case_amount=MONEY, pipeline_amount=MONEY),
    _canonical("currency_rates", "One unit of `from_currency` in `to_currency`", key=("from_currency", "to_currency", "valid_from", "rate_type"),
        from_currency=TEXT, to_currency=TEXT, valid_from=DATE, rate=RATE, rate_type=TEXT),
    _canonical("comp_plans", "Compensation plans", key=("plan_id", "tier_from"), plan_id=TEXT, name=TEXT, base_amount=MONEY,
        tier_from="DECIMAL(9,4)", commission_rate="DECIMAL(9,6)"),
    _canonical("comp_assignments", "Who was on which plan, when", key=("user_id", "plan_id", "valid_from"), user_id=TEXT,
        plan_id=TEXT, valid_from=DATE, valid_to=DATE),
    _canonical("programmes", "Coaching and enablement programmes and who was in them", key=("programme_id", "user_id"),
        programme_id=TEXT, name=TEXT, user_id=TEXT, start_date=DATE, end_date=DATE),
)

REQUIRED = {
    "users": ("user_id",),
    "user_assignments": ("user_id", "valid_from"),
    "accounts": ("account_id",),
    "contacts": ("contact_id",),
    "opportunities": ("opportunity_id", "stage"),
    "opportunity_history": ("opportunity_id", "field", "new_value", "changed_at"),
    "opportunity_contacts": ("opportunity_id", "contact_id"),
    "activities": ("activity_id", "type", "occurred_at"),
    "activity_participants": ("activity_id",),
    "leads": ("lead_id",),
    "campaigns": ("campaign_id",),
    "quotas": ("period_start", "period_end", "amount"),
    "forecast_calls": ("user_id", "period_start", "submitted_at"),
    "currency_rates": ("from_currency", "to_currency", "valid_from", "rate"),
    "comp_plans": ("plan_id",),
    "comp_assignments": ("user_id", "plan_id", "valid_from"),
    "programmes": ("programme_id", "user_id", "start_date"),
}
