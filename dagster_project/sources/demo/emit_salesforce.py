"""The company in Salesforce's shapes. Every function writes whole tables, or one chunk of the activities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dagster_project.sources.demo.activities import (
    CALL,
    CANCELED,
    CONNECTED,
    DEMO,
    EMAIL,
    MEETING,
    NO_SHOW,
    TASK,
    VOICEMAIL,
    Activities,
)
from dagster_project.sources.demo.activities import OPEN as NOT_DONE
from dagster_project.sources.demo.clock import DAY, NEVER
from dagster_project.sources.demo.company import (
    CONTACT_ROLES,
    CONTACT_TITLES,
    CONTACTS_PER_ACCOUNT,
    CURRENCIES,
    INDUSTRIES,
    MANAGER,
    REASONS,
    REGIONS,
    ROLES,
    SEGMENTS,
    VP,
    Company,
)
from dagster_project.sources.demo.deals import (
    CATEGORIES,
    COMPETITORS,
    LOSS_REASONS,
    NEXT_STEPS,
    PRODUCTS,
    Deals,
)
from dagster_project.sources.demo.ids import salesforce_ids
from dagster_project.sources.demo.marketing import Marketing
from dagster_project.sources.demo.parquet import (
    Files,
    always,
    dates,
    decimals,
    flags,
    instants,
    joined,
    picked,
    whole,
    words,
)
from dagster_project.sources.demo.planning import Calls, Quotas
from dagster_project.sources.demo.progress import LOST, SOURCES, WON
from dagster_project.sources.demo.records import Records
from dagster_project.sources.demo.tracks import NONE, Track, daily, stamps
from dagster_project.sources.salesforce.shapes import TABLES

TABLE = {table.name: table for table in TABLES}
STAGES = ("Prospecting", "Qualification", "Discovery", "Proposal", "Negotiation", "Closed Won", "Closed Lost")
UNMAPPED = len(STAGES)  # a stage no table knows, only where that fault is asked for
SAID_STAGES = (*STAGES, "Legacy Review")
CATEGORY_NAMES = (
    "Pipeline",
    "BestCase",
    "MostLikely",
    "Forecast",
    "Omitted",
    "Closed",
)  # as OpportunityHistory says them
TYPE_NAMES = ("New Business", "Existing Business - Expansion", "Existing Business - Renewal")
HISTORY_FIELDS = ("stage", "amount", "probability", "category", "close_day")
TRACKED = {
    "owner": "Owner",
    "currency": "CurrencyIsoCode",
    "next_step": "NextStep",
    "next_step_day": "NextStepDate__c",
    "champion": "Champion__c",
    "economic_buyer": "EconomicBuyer__c",
}
STAGE_RENAMED = np.datetime64("2024-02-14").astype(int)  # Discovery becomes Solution Fit, mid-quarter
STAGE_REORDERED = np.datetime64("2025-05-07").astype(int)  # an unused stage moves; the order of the others stands


def _system(created, modified) -> dict:
    return {
        "CreatedDate": instants(created),
        "LastModifiedDate": instants(modified),
        "SystemModstamp": instants(modified),
    }


def _fixed(rows: int) -> dict:
    return {"IsDeleted": flags(np.zeros(rows, dtype=bool))}


def managers_of(company: Company, spell: np.ndarray, day: np.ndarray) -> np.ndarray:
    """The spell above each spell on a day: the team's manager, and above managers the head of sales."""
    spells, reps = company.spells, company.size.teams * company.size.reps_per_team
    team = spells.team_on(spell, day)
    above = spells.holder(np.where(team == NONE, 0, reps + team), day)
    head = spells.holder(np.full(spell.size, company.seats.role.size - 1), day)
    above = np.where(spells.role[spell] == MANAGER, head, above)
    return np.where(spells.role[spell] == VP, NONE, above)


def users(files: Files, company: Company, records: Records) -> None:
    """A version whenever status, team or manager changed; those who left before the first load have their last one."""
    spells = company.spells
    rows = []  # user, day, spell, status
    every = np.flatnonzero(spells.start <= company.last_day)
    manager_starts = spells.start[(spells.role == MANAGER) | (spells.role == VP)]
    for spell in every:
        start, end = spells.start[spell], spells.end[spell]
        days = {int(start): "active"}
        for day in manager_starts[(manager_starts > start) & (manager_starts <= end)]:
            days[int(day)] = "active"
        if spells.move_day[spell] < NEVER:
            days[int(spells.move_day[spell])] = "active"
        if spells.leave_from[spell] < NEVER:
            days[int(spells.leave_from[spell])] = "leave"
            days[int(spells.leave_to[spell])] = "active"
        rows += [(spells.user[spell], day, spell, status) for day, status in days.items() if day <= end]
        rows.append((spells.user[spell], int(end) + 1, spell, "left"))
    rows = [row for row in rows if row[1] <= company.last_day]
    rows.sort(key=lambda row: (row[0], row[1], row[3] != "left"))
    user, day, spell = (np.array([row[place] for row in rows], dtype=np.int64) for place in range(3))
    status = np.array([("active", "leave", "left").index(row[3]) for row in rows])
    above = managers_of(company, spell, np.minimum(day, spells.end[spell]))
    team = spells.team_on(spell, day)
    state = np.stack([status, above, team, spell])
    same = np.zeros(user.size, dtype=bool)
    same[1:] = (user[1:] == user[:-1]) & (state[:, 1:] == state[:, :-1]).all(axis=0)
    loaded = np.maximum(day, company.first_day)
    keep = ~same
    keep_last = np.zeros(user.size, dtype=bool)
    kept = np.flatnonzero(keep)
    keep_last[kept[np.append((user[kept][1:] != user[kept][:-1]) | (loaded[kept][1:] != loaded[kept][:-1]), True)]] = (
        True
    )
    order = np.flatnonzero(keep_last)
    order = order[np.argsort(loaded[order], kind="stable")]
    user, day, spell, status, above, team, loaded = (a[order] for a in (user, day, spell, status, above, team, loaded))
    person, left = spells.person[spell], status == 2
    first = np.full(len(spells), NEVER)
    np.minimum.at(first, spells.user, spells.start)
    modified = loaded * DAY + 9 * 3600
    region = np.where(team == NONE, 0, company.team_region[team])
    titles = (
        "Account Executive",
        "Sales Manager",
        "Sales Development Representative",
        "Solutions Engineer",
        "VP Sales",
    )
    files.write(
        TABLE["user"],
        loaded,
        Id=picked(records.user_ids, user),
        Name=joined(picked(records.first_names, person), pa.scalar(" "), picked(records.last_names, person)),
        Email=picked(records.emails, person),
        Title=words(spells.role[spell], titles),
        IsActive=flags(~left),
        ManagerId=picked(records.user_ids, np.where(above == NONE, NONE, spells.user[above])),
        SalesRole__c=words(np.minimum(spells.role[spell], 4), [*ROLES[:4], "manager"]),
        Team__c=words(team, team_names(company)),
        Segment__c=words(spells.segment[spell], SEGMENTS),
        Region__c=words(region, REGIONS),
        EmploymentStatus__c=words(status, ("active", "leave", "left")),
        StartDate__c=dates(spells.start[spell]),
        EndDate__c=dates(np.where(left, spells.end[spell], NONE)),
        EndReason__c=words(np.where(left, spells.reason[spell], NONE), REASONS),
        StatusSince__c=dates(day),
        **_system(first[user] * DAY + 8 * 3600, modified),
    )


def team_names(company: Company) -> list[str]:
    return [
        f"{SEGMENTS[segment]} {REGIONS[region]} {number + 1}"
        for number, (segment, region) in enumerate(zip(company.team_segment, company.team_region, strict=True))
    ]


def account_owners(company: Company) -> Track:
    """Spell that owns each account: whoever holds its seat, the last one while it is empty."""
    accounts, spells = company.accounts, company.spells
    spell = np.flatnonzero(spells.role == 0)
    times = accounts.per_seat[spells.seat[spell]]
    each = np.repeat(spell, times)
    nth = np.arange(each.size) - np.repeat(np.cumsum(times) - times, times)
    account = accounts.first[spells.seat[each]] + nth
    at = spells.start[each] * DAY + 10 * 3600
    first = spells.holder(accounts.seat, accounts.created // DAY)
    earliest = np.searchsorted(spells.seat, accounts.seat)
    first = np.where(first == NONE, earliest, first)
    late = at > accounts.created[account]
    every = np.arange(len(accounts))
    return Track(every, accounts.created, first).plus(account[late], at[late], each[late])


def accounts(files: Files, company: Company, records: Records) -> None:
    held, spells = company.accounts, company.spells
    owner = account_owners(company)
    chosen = held.in_salesforce & (held.created <= company.last_second)
    owner = owner.only((owner.at <= company.last_second) & chosen[owner.record])
    record, at = daily(owner.record, owner.at)
    loaded = np.maximum(at // DAY, company.first_day)
    last = np.append((record[1:] != record[:-1]) | (loaded[1:] != loaded[:-1]), True)
    record, at, loaded = record[last], at[last], loaded[last]
    order = np.argsort(loaded, kind="stable")
    record, at, loaded = record[order], at[order], loaded[order]
    name = picked(records.account_names, record)
    files.write(
        TABLE["account"],
        loaded,
        Id=picked(records.account_ids, record),
        Name=name,
        Website=joined(words(record % 3, ("https://www.", "http://", "www.")), picked(records.domains, record)),
        Industry=words(held.industry[record], INDUSTRIES),
        NumberOfEmployees=whole(held.employees[record]),
        Segment__c=words(held.segment[record], SEGMENTS),
        Region__c=words(held.region[record], REGIONS),
        OwnerId=picked(records.user_ids, spells.user[owner.value_at(record, at)]),
        ParentId=picked(records.account_ids, parents(held, record, held.in_salesforce)),
        **_fixed(record.size),
        **_system(held.created[record], at),
    )
    contacts(files, company, records, chosen)


def parents(held, record: np.ndarray, is_here: np.ndarray) -> np.ndarray:
    """The parent account where the system (`is_here`, a flag per account) knew it when the child was made."""
    parent = held.parent[record]
    known = (parent != NONE) & is_here[parent] & (held.created[parent] <= held.created[record])
    return np.where(known, parent, NONE)


def contacts(files: Files, company: Company, records: Records, chosen: np.ndarray) -> None:
    account = np.flatnonzero(chosen)
    account = np.repeat(account, CONTACTS_PER_ACCOUNT)
    contact = account * CONTACTS_PER_ACCOUNT + np.arange(account.size) % CONTACTS_PER_ACCOUNT
    created = company.accounts.created[account] + 1800
    loaded = np.maximum(created // DAY, company.first_day)
    order = np.argsort(loaded, kind="stable")
    contact, account, created, loaded = contact[order], account[order], created[order], loaded[order]
    files.write(
        TABLE["contact"],
        loaded,
        Id=picked(records.contact_ids, contact),
        AccountId=picked(records.account_ids, account),
        Name=picked(records.contact_names, contact),
        Email=picked(records.contact_emails, contact),
        Title=words(contact % CONTACTS_PER_ACCOUNT, CONTACT_TITLES),
        Role__c=words(contact % CONTACTS_PER_ACCOUNT, CONTACT_ROLES),
        **_fixed(contact.size),
        **_system(created, created),
    )


def opportunities(files: Files, company: Company, deals: Deals, records: Records, tracks: dict[str, Track]) -> None:
    """The live record: a version for each day on which anything changed. tracks: what Salesforce holds by as-of."""
    record, at = daily(*stamps(*tracks.values()))
    order = np.argsort(at // DAY, kind="stable")
    record, at = record[order], at[order]
    value = {name: track.value_at(record, at) for name, track in tracks.items()}
    said = np.where(
        value["flags"] == NONE, np.select([value["stage"] == WON, value["stage"] == LOST], [1, 2], 0), value["flags"]
    )
    owner = company.spells.user[value["owner"]]
    merged = value["merged_into"]
    files.write(
        TABLE["opportunity"],
        at // DAY,
        Id=picked(records.deal_ids, record),
        Name=joined(
            picked(records.account_names, deals.account[record]),
            words(
                np.where(deals.is_test[record], len(PRODUCTS), deals.product[record]),
                [f" - {name}" for name in (*PRODUCTS, "TEST")],
            ),
        ),
        AccountId=picked(records.account_ids, value["account"]),
        OwnerId=picked(records.user_ids, owner),
        CampaignId=picked(campaign_ids(deals), deals.campaign[record]),
        Type=words(deals.kind[record], TYPE_NAMES),
        LeadSource=words(deals.source[record], SOURCES),
        Product__c=words(deals.product[record], PRODUCTS),
        StageName=words(value["stage"], SAID_STAGES),
        Amount=decimals(value["amount"]),
        ListAmount__c=decimals(value["list_amount"]),
        Discount__c=decimals(value["discount"], "DECIMAL(9,4)"),
        CurrencyIsoCode=words(value["currency"], CURRENCIES),
        Probability=decimals(_scaled(value["probability"], 10_000), "DECIMAL(9,4)"),
        ForecastCategoryName=words(value["category"], CATEGORIES),
        CloseDate=dates(value["close_day"]),
        IsClosed=flags(said > 0),
        IsWon=flags(said == 1),
        NextStep=words(value["next_step"], NEXT_STEPS),
        NextStepDate__c=dates(value["next_step_day"]),
        Champion__c=picked(records.contact_names, value["champion"]),
        EconomicBuyer__c=picked(records.contact_names, value["economic_buyer"]),
        BudgetConfirmed__c=flags(np.where(value["budget"] == NONE, 0, value["budget"])),
        DecisionTimeline__c=dates(value["timeline"]),
        Competitor__c=words(value["competitor"], COMPETITORS),
        LossReason__c=words(value["loss_reason"], LOSS_REASONS),
        MergedIntoId__c=picked(records.deal_ids, merged),
        IsDeleted=flags(value["is_deleted"] == 1),
        **_system(deals.created[record], at),
    )


def campaign_ids(deals: Deals) -> pa.Array:
    return salesforce_ids("701", np.arange(int(deals.campaign.max(initial=0)) + 1))


def _scaled(values: np.ndarray, by: int) -> np.ndarray:
    return np.where(values == NONE, NONE, values * by)


def opportunity_history(
    files: Files, company, deals, records, tracks: dict[str, Track], late: dict[str, np.ndarray]
) -> None:
    """A row per instant at which stage, amount, probability, category or close date changed; a few arrive days late."""
    record, at = stamps(*(tracks[name] for name in HISTORY_FIELDS))
    delay = np.zeros(record.size, dtype=np.int64)
    if late["record"].size:
        wanted = {(int(r), int(a)): int(d) for r, a, d in zip(late["record"], late["at"], late["days"], strict=True)}
        for row in np.flatnonzero(np.isin(record, late["record"])):
            delay[row] = wanted.get((int(record[row]), int(at[row])), 0)
    loaded = at // DAY + delay
    order = np.lexsort((at, loaded))
    record, at, loaded = record[order], at[order], loaded[order]
    number = np.arange(record.size)
    gone = deals.removed[record] // DAY
    hidden = np.flatnonzero((gone <= company.last_day) & (gone > loaded))  # a deleted deal takes its history with it
    loaded = np.concatenate([loaded, gone[hidden]])
    order = np.argsort(loaded, kind="stable")
    is_deleted = order >= number.size
    row = np.concatenate([number, hidden])[order]
    number, record, at, loaded = number[row], record[row], at[row], loaded[order]
    value = {name: tracks[name].value_at(record, at) for name in HISTORY_FIELDS}
    owner = company.spells.user[tracks["owner"].value_at(record, at)]
    files.write(
        TABLE["opportunity_history"],
        loaded,
        Id=salesforce_ids("008", number),
        OpportunityId=picked(records.deal_ids, record),
        CreatedById=picked(records.user_ids, owner),
        CreatedDate=instants(at),
        StageName=words(value["stage"], SAID_STAGES),
        Amount=decimals(value["amount"]),
        Probability=decimals(_scaled(value["probability"], 10_000), "DECIMAL(9,4)"),
        ForecastCategory=words(value["category"], CATEGORY_NAMES),
        CloseDate=dates(value["close_day"]),
        SystemModstamp=instants(np.where(is_deleted, deals.removed[record], at)),
        IsDeleted=flags(is_deleted | (gone[row] == loaded)),
    )


def opportunity_field_history(
    files: Files, company: Company, deals: Deals, records: Records, tracks: dict[str, Track]
) -> None:
    """Changes of the tracked fields; a first value leaves no row, as in Salesforce."""
    texts = {
        "owner": lambda value: picked(records.user_ids, np.where(value == NONE, NONE, company.spells.user[value])),
        "currency": lambda value: words(value, CURRENCIES).cast(pa.string()),
        "next_step": lambda value: words(value, NEXT_STEPS).cast(pa.string()),
        "next_step_day": lambda value: dates(value).cast(pa.string()),
        "champion": lambda value: picked(records.contact_names, value),
        "economic_buyer": lambda value: picked(records.contact_names, value),
    }
    parts = []
    for place, name in enumerate(TRACKED):
        track = tracks[name]
        changed = ~track.is_first()
        before, value = track.before()[changed], track.value[changed]
        parts.append(
            (
                track.record[changed],
                track.at[changed],
                np.full(value.size, place),
                texts[name](before),
                texts[name](value),
            )
        )
    record, at, place = (np.concatenate([part[number] for part in parts]) for number in range(3))
    old, new = (pa.concat_arrays([part[number] for part in parts]) for number in (3, 4))
    order = np.lexsort((record, place, at))
    record, at, place = record[order], at[order], place[order]
    owner = company.spells.user[tracks["owner"].value_at(record, at)]
    files.write(
        TABLE["opportunity_field_history"],
        at // DAY,
        Id=salesforce_ids("017", np.arange(record.size)),
        OpportunityId=picked(records.deal_ids, record),
        CreatedById=picked(records.user_ids, owner),
        CreatedDate=instants(at),
        Field=words(place, list(TRACKED.values())),
        OldValue=picked(old, order),
        NewValue=picked(new, order),
        **_fixed(record.size),
    )


def contact_roles(files: Files, deals: Deals, records: Records, roles: dict[str, np.ndarray]) -> None:
    chosen = deals.in_salesforce[roles["deal"]] & ~deals.in_hubspot[roles["deal"]]
    deal, contact, at = (roles[name][chosen] for name in ("deal", "contact", "at"))
    files.write(
        TABLE["opportunity_contact_role"],
        at // DAY,
        Id=salesforce_ids("00K", np.arange(deal.size)),
        OpportunityId=picked(records.deal_ids, deal),
        ContactId=picked(records.contact_ids, contact),
        Role=words(roles["role"][chosen], ("Champion", "Economic Buyer", "Business User")),
        IsPrimary=flags(roles["role"][chosen] == 0),
        **_fixed(deal.size),
        **_system(at, at),
    )


def stages(files: Files, company: Company) -> None:
    """The picklist with an unused stage; a rename and a reorder are versions."""
    names = (*STAGES[:2], "Value Proposition", *STAGES[2:])
    probability = (5, 15, 20, 30, 55, 80, 100, 0)
    category = ("Omitted", "Pipeline", "Pipeline", "Pipeline", "Best Case", "Commit", "Closed", "Omitted")
    rows = [(number, names[number], number + 1, company.first_day) for number in range(len(names))]
    if company.first_day < STAGE_RENAMED:
        rows.append((3, "Solution Fit", 4, STAGE_RENAMED))
    label = "Solution Fit"
    moved = [(2, names[2], 4), (3, label, 3)]
    rows += [(number, name, order, STAGE_REORDERED) for number, name, order in moved]
    if company.first_day >= STAGE_RENAMED:
        rows[3] = (3, label, 4, company.first_day)
    number, _, order, day = (np.array([row[place] if place != 1 else 0 for row in rows]) for place in range(4))
    created = (company.first_day - 400) * DAY
    modified = np.where(day == company.first_day, created, day * DAY + 8 * 3600)
    files.write(
        TABLE["opportunity_stage"],
        day,
        Id=salesforce_ids("01J", number),
        ApiName=words(number, names),
        MasterLabel=pa.array([row[1] for row in rows]),
        SortOrder=pa.array(order),
        IsActive=flags(number != 2),
        IsClosed=flags(number >= 6),
        IsWon=flags(number == 6),
        DefaultProbability=decimals(np.array(probability)[number] * 10_000, "DECIMAL(9,4)"),
        ForecastCategoryName=pa.array([category[n] for n in number]),
        **_system(np.full(number.size, created), modified),
    )


def currencies(files: Files, company: Company) -> None:
    """Plan rates, one record a currency and year; dated rates, one a currency and month, closed by the next."""
    years, count = len(company.plan_years), company.plan_rates.shape[1]
    first = np.array([np.datetime64(f"{year}-01-01").astype(np.int64) for year in company.plan_years])
    day, currency = np.repeat(first, count), np.tile(np.arange(count), years)
    number = np.arange(day.size)
    keep = day <= company.last_day
    day, currency, number = day[keep], currency[keep], number[keep]
    rates = company.plan_rates.ravel()[keep]
    files.write(
        TABLE["currency_type"],
        np.maximum(day, company.first_day),
        Id=salesforce_ids("01L", number),
        IsoCode=words(currency, CURRENCIES),
        ConversionRate=decimals(np.round(rates * 1e8).astype(np.int64), "DECIMAL(18,8)"),
        StartDate=dates(day),
        IsCorporate=flags(currency == 0),
        IsActive=flags(np.ones(day.size, dtype=bool)),
    )
    months = company.rate_days
    day, currency = np.repeat(months, count), np.tile(np.arange(count), months.size)
    number, following = np.arange(day.size), np.repeat(np.append(months[1:], NONE), count)
    rates = company.dated_rates.ravel()
    parts = [
        (np.maximum(day, company.first_day), np.where(following > company.first_day, 0, 1)),
        (following, np.ones(day.size, dtype=int)),
    ]
    keep = [
        (day <= company.last_day),
        (following != NONE) & (following <= company.last_day) & (following > company.first_day),
    ]
    row = np.concatenate([np.flatnonzero(chosen) for chosen in keep])
    loaded = np.concatenate([part[0][chosen] for part, chosen in zip(parts, keep, strict=True)])
    closed = np.concatenate([part[1][chosen] for part, chosen in zip(parts, keep, strict=True)])
    order = np.lexsort((row, loaded))
    row, loaded, closed = row[order], loaded[order], closed[order]
    open_end = np.datetime64("9999-12-31").astype(int)
    files.write(
        TABLE["dated_conversion_rate"],
        loaded,
        Id=salesforce_ids("04w", number[row]),
        IsoCode=words(currency[row], CURRENCIES),
        ConversionRate=decimals(np.round(rates[row] * 1e8).astype(np.int64), "DECIMAL(18,8)"),
        StartDate=dates(day[row]),
        NextStartDate=dates(np.where(closed == 1, following[row], open_end)),
        **_system(np.maximum(day[row], company.first_day) * DAY + 3600, loaded * DAY + 3600),
    )


def quotas(files: Files, company: Company, records: Records, planned: Quotas) -> None:
    files.write(
        TABLE["forecasting_type"],
        np.full(2, company.first_day),
        Id=salesforce_ids("0Db", np.arange(2)),
        DeveloperName=pa.array(["Full", "Ramped"]),
        MasterLabel=pa.array(["Full quota", "Ramped quota"]),
        IsActive=pa.array([True, True]),
    )
    created = planned.loaded * DAY + 7 * 3600
    files.write(
        TABLE["forecasting_quota"],
        planned.loaded,
        Id=salesforce_ids("0J9", planned.number),
        QuotaOwnerId=picked(records.user_ids, company.spells.user[planned.spell]),
        ForecastingTypeId=picked(salesforce_ids("0Db", np.arange(2)), planned.is_ramped.astype(int)),
        StartDate=dates(planned.month),
        PeriodEndDate__c=dates(planned.month_end),
        QuotaAmount=decimals(planned.cents),
        CurrencyIsoCode=always("USD", planned.spell.size),
        **_system(created, created),
    )


def forecast_calls(files: Files, company: Company, records: Records, calls: Calls) -> None:
    first = np.full(int(calls.number.max(initial=0)) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, calls.number, calls.at)
    files.write(
        TABLE["forecasting_item"],
        calls.at // DAY,
        Id=salesforce_ids("0Fi", calls.number),
        OwnerId=picked(records.user_ids, company.spells.user[calls.spell]),
        PeriodStartDate=dates(calls.quarter),
        Scope=words(calls.is_team.astype(int), ("own", "team")),
        CurrencyIsoCode=always("USD", calls.spell.size),
        CommitAmount=decimals(calls.commit),
        BestCaseAmount=decimals(calls.best_case),
        PipelineAmount=decimals(calls.pipeline),
        **_system(first[calls.number], calls.at),
    )


def marketing(files: Files, company: Company, deals: Deals, records: Records, made: Marketing) -> None:
    number = np.arange(made.campaign_start.size)
    known = made.campaign_start <= company.last_day
    number = number[known]
    start = made.campaign_start[number]
    files.write(
        TABLE["campaign"],
        np.maximum(start - 20, company.first_day),
        Id=salesforce_ids("701", number),
        Name=pa.array([made.campaign_names[n] for n in number]),
        Type=pa.array([made.campaign_types[n] for n in number]),
        StartDate=dates(start),
        EndDate=dates(start + made.campaign_days[number]),
        ActualCost=decimals(made.campaign_cost[number]),
        **_fixed(number.size),
        **_system(
            np.maximum(start - 20, company.first_day) * DAY + 36_000,
            np.maximum(start - 20, company.first_day) * DAY + 36_000,
        ),
    )
    row, day, step = made.versions(company)
    contact = made.contact % len(records.contact_names)
    at = np.where(step == 0, made.created[row], np.where(step == 1, made.qualified[row], made.converted[row]))
    converted = (made.deal[row] != NONE) & (made.converted[row] // DAY <= day) & (made.converted[row] != NONE)
    qualified = (made.qualified[row] != NONE) & (made.qualified[row] // DAY <= day)
    status = np.where(converted, 2, np.where(qualified, 1, np.where(made.is_dropped[row], 3, 0)))
    files.write(
        TABLE["lead"],
        day,
        Id=salesforce_ids("00Q", row),
        Name=picked(records.contact_names, contact[row]),
        Email=picked(records.contact_emails, contact[row]),
        Company=picked(records.account_names, contact[row] // CONTACTS_PER_ACCOUNT),
        LeadSource=words(made.source[row], SOURCES),
        Status=words(status, ("New", "Qualified", "Converted", "Unqualified")),
        OwnerId=picked(records.user_ids, company.spells.user[made.owner[row]]),
        CampaignId__c=picked(salesforce_ids("701", np.arange(made.campaign_start.size)), made.campaign[row]),
        QualifiedDate__c=instants(np.where(qualified, made.qualified[row], NONE)),
        IsConverted=flags(converted),
        ConvertedDate=dates(np.where(converted, made.converted[row] // DAY, NONE)),
        ConvertedOpportunityId=picked(records.deal_ids, np.where(converted, made.deal[row], NONE)),
        **_fixed(row.size),
        **_system(made.created[row], at),
    )


def activities(files: Files, company: Company, deals: Deals, records: Records, chunk: Activities) -> None:
    """Tasks and events of one chunk: deals kept here alone, and what synced deals were logged twice for."""
    here = chunk.where(chunk.in_crm & (~deals.in_hubspot[chunk.deal] | chunk.in_both))
    offset = (here.number * 7_919 % 13 - 6) * 60  # the CRM's entry and the recording start within minutes
    tasks(files, company, deals, records, here.where(np.isin(here.kind, (CALL, EMAIL, TASK))))
    is_talk = np.isin(here.kind, (MEETING, DEMO))
    events(files, company, deals, records, here.where(is_talk), offset[is_talk])


def tasks(files: Files, company, deals, records, some: Activities) -> None:
    is_todo, finished = some.kind == TASK, some.outcome != NOT_DONE
    later = is_todo & finished & (some.done // DAY > some.at // DAY)
    row = np.concatenate([np.arange(len(some)), np.flatnonzero(later)])
    is_done = np.concatenate([finished & ~later, np.ones(int(later.sum()), dtype=bool)])
    at = np.where(is_done, np.where(is_todo[row], some.done[row], some.at[row] + some.seconds[row]), some.at[row])
    day = at // DAY
    order = np.argsort(day, kind="stable")
    row, is_done, at, day = row[order], is_done[order], at[order], day[order]
    kind, deal = some.kind[row], some.deal[row]
    is_call = kind == CALL
    talked = np.select([some.outcome[row] == CONNECTED, some.outcome[row] == VOICEMAIL], [0, 2], 1)
    files.write(
        TABLE["task"],
        day,
        Id=salesforce_ids("00T", some.number[row]),
        OwnerId=picked(records.user_ids, company.spells.user[some.spell[row]]),
        WhatId=picked(records.deal_ids, deal),
        WhoId=picked(records.contact_ids, some.contact[row]),
        AccountId=picked(records.account_ids, deals.account[deal]),
        TaskSubtype=words(np.select([is_call, kind == EMAIL], [0, 1], 2), ("Call", "Email", "Task")),
        Subject=words(
            np.select([is_call, kind == EMAIL], [0, np.where(some.is_inbound[row], 2, 1)], 3),
            ("Call", "Email: following up", "Email: re your proposal", "To do"),
        ),
        Status=words(is_done.astype(int), ("Not Started", "Completed")),
        IsClosed=flags(is_done),
        ActivityDate=dates(np.where(kind == TASK, some.due[row], some.at[row] // DAY)),
        CompletedDateTime=instants(np.where(is_done, at, NONE)),
        CallDurationInSeconds=whole(np.where(is_call, some.seconds[row], NONE)),
        CallType=words(np.where(is_call, some.is_inbound[row], NONE), ("Outbound", "Inbound")),
        CallDisposition=words(np.where(is_call, talked, NONE), ("Connected", "No Answer", "Left Voicemail")),
        **_fixed(row.size),
        **_system(some.at[row], at),
    )


def events(files: Files, company, deals, records, some: Activities, offset: np.ndarray) -> None:
    booked = some.planned < some.at // DAY
    row = np.concatenate([np.arange(len(some)), np.flatnonzero(booked)])
    is_plan = np.concatenate([np.zeros(len(some), dtype=bool), np.ones(int(booked.sum()), dtype=bool)])
    day = np.where(is_plan, some.planned[row], some.at[row] // DAY)
    order = np.argsort(day, kind="stable")
    row, is_plan, day = row[order], is_plan[order], day[order]
    deal, start = some.deal[row], some.at[row] + offset[row]
    written = np.where(booked[row], np.maximum(some.planned[row] * DAY + 32_400, deals.created[deal]), some.at[row])
    outcome = np.select([is_plan, some.outcome[row] == NO_SHOW, some.outcome[row] == CANCELED], [3, 1, 2], 0)
    files.write(
        TABLE["event"],
        day,
        Id=salesforce_ids("00U", some.number[row]),
        OwnerId=picked(records.user_ids, company.spells.user[some.spell[row]]),
        WhatId=picked(records.deal_ids, deal),
        WhoId=picked(records.contact_ids, some.contact[row]),
        AccountId=picked(records.account_ids, deals.account[deal]),
        Type=words((some.kind[row] == DEMO).astype(int), ("Meeting", "Demo")),
        Subject=words((some.kind[row] == DEMO).astype(int), ("Meeting", "Product demo")),
        StartDateTime=instants(start),
        EndDateTime=instants(start + some.seconds[row]),
        Outcome__c=words(outcome, ("Completed", "No Show", "Canceled", "Scheduled")),
        **_fixed(row.size),
        **_system(written, np.where(is_plan, written, some.at[row] + some.seconds[row])),
    )
