"""The SMB business in HubSpot's shapes. Every function writes whole tables, or one chunk of the activities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    CONTACT_TITLES,
    CONTACTS_PER_ACCOUNT,
    CURRENCIES,
    INDUSTRIES,
    REGIONS,
    SEGMENTS,
    SMB,
    Company,
)
from dagster_project.sources.demo.deals import COMPETITORS, LOSS_REASONS, NEXT_STEPS, PRODUCTS, Deals, second_company
from dagster_project.sources.demo.emit_salesforce import account_owners, campaign_ids, parents, team_names
from dagster_project.sources.demo.ids import number_ids
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
from dagster_project.sources.demo.progress import LOST, SOURCES, WON
from dagster_project.sources.demo.records import Records
from dagster_project.sources.demo.tracks import NONE, Track, daily, stamps
from dagster_project.sources.hubspot.shapes import TABLES

ENGAGEMENT_ID = 55_000_000_000  # the first engagement's
TABLE = {table.name: table for table in TABLES}
STAGES = (
    "appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "decisionmakerboughtin", "contractsent",
    "closedwon", "closedlost",
)  # fmt: skip
LABELS = ("Appointment Scheduled", "Qualified To Buy", "Presentation Scheduled", "Decision Maker Bought-In",
          "Contract Sent", "Closed Won", "Closed Lost")  # fmt: skip
PROBABILITY = (5, 15, 30, 55, 80, 100, 0)
CATEGORIES = ("PIPELINE", "BEST_CASE", "MOST_LIKELY", "COMMIT", "OMIT", "CLOSED")
STAGE_RENAMED = np.datetime64("2024-08-21").astype(int)  # Contract Sent becomes Contract Out
# HubSpot's own ids of its default call outcomes
DISPOSITIONS = (
    "f240bbac-87c9-4f6e-bf70-924b57d47db7",
    "73a0d17f-1163-4015-bdd5-ec830791da20",
    "b2cf5968-551e-4856-9783-52b3da59a7d0",
)


def _stamps(created, modified, archived=None) -> dict:
    gone = np.zeros(len(created), dtype=bool) if archived is None else archived
    return {"createdate": instants(created), "hs_lastmodifieddate": instants(modified), "archived": flags(gone)}


def _first_loaded(company: Company, key: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Load day of each version and whether it is its key's last of that day; input sorted by key and time."""
    loaded = np.maximum(at // DAY, company.first_day)
    last = np.append((key[1:] != key[:-1]) | (loaded[1:] != loaded[:-1]), True)
    return loaded, last


def owners(files: Files, company: Company, records: Records) -> None:
    """An owner for everybody in SMB, archived when they leave; e-mail as HubSpot has it, with capitals."""
    spells = company.spells
    mine = np.flatnonzero((spells.segment == SMB) & (spells.start <= company.last_day))
    left = mine[spells.end[mine] < company.last_day]
    spell = np.concatenate([mine, mine[spells.move_day[mine] <= company.last_day], left])
    moved = spells.move_day[mine] <= company.last_day
    day = np.concatenate([spells.start[mine], spells.move_day[mine][moved], spells.end[left] + 1])
    gone = np.concatenate([np.zeros(mine.size + moved.sum(), dtype=bool), np.ones(left.size, dtype=bool)])
    user = spells.user[spell]
    order = np.lexsort((~gone, day, user))
    user, spell, day, gone = user[order], spell[order], day[order], gone[order]
    loaded, last = _first_loaded(company, user, day * DAY)
    user, spell, day, gone, loaded = user[last], spell[last], day[last], gone[last], loaded[last]
    order = np.argsort(loaded, kind="stable")
    user, spell, day, gone, loaded = user[order], spell[order], day[order], gone[order], loaded[order]
    person = spells.person[spell]
    first = np.full(len(spells), NEVER)
    np.minimum.at(first, spells.user, spells.start)
    files.write(
        TABLE["owner"],
        loaded,
        id=picked(records.owner_ids, user),
        email=pc.utf8_capitalize(picked(records.emails, person)),
        firstName=picked(records.first_names, person),
        lastName=picked(records.last_names, person),
        userId=number_ids(60_000_000, user),
        teamName=words(spells.team_on(spell, day), team_names(company)),
        createdAt=instants(first[user] * DAY + 9 * 3600),
        updatedAt=instants(loaded * DAY + 9 * 3600),
        archived=flags(gone),
    )


def companies(files: Files, company: Company, records: Records) -> None:
    held, spells = company.accounts, company.spells
    owner = account_owners(company)
    chosen = held.in_hubspot & (held.created <= company.last_second)
    owner = owner.only((owner.at <= company.last_second) & chosen[owner.record])
    record, at = daily(owner.record, owner.at)
    loaded, last = _first_loaded(company, record, at)
    record, at, loaded = record[last], at[last], loaded[last]
    order = np.argsort(loaded, kind="stable")
    record, at, loaded = record[order], at[order], loaded[order]
    holder = owner.value_at(record, at)
    has_owner = spells.segment[holder] == SMB
    files.write(
        TABLE["company"],
        loaded,
        id=picked(records.company_ids, record),
        name=picked(records.account_names, record),
        domain=picked(records.domains, record),
        industry=words(held.industry[record], INDUSTRIES),
        numberofemployees=whole(held.employees[record]),
        segment=words(held.segment[record], SEGMENTS),
        region=words(held.region[record], REGIONS),
        hubspot_owner_id=picked(records.owner_ids, np.where(has_owner, spells.user[holder], NONE)),
        hs_parent_company_id=picked(records.company_ids, parents(held, record, held.in_hubspot)),
        **_stamps(held.created[record], at),
    )
    account = np.repeat(np.flatnonzero(chosen), CONTACTS_PER_ACCOUNT)
    contact = account * CONTACTS_PER_ACCOUNT + np.arange(account.size) % CONTACTS_PER_ACCOUNT
    created = held.created[account] + 1800
    loaded = np.maximum(created // DAY, company.first_day)
    order = np.argsort(loaded, kind="stable")
    contact, account, created, loaded = contact[order], account[order], created[order], loaded[order]
    files.write(
        TABLE["contact"],
        loaded,
        id=picked(records.hubspot_contact_ids, contact),
        email=picked(records.contact_emails, contact),
        firstname=picked(records.contact_first, contact),
        lastname=picked(records.contact_last, contact),
        jobtitle=words(contact % CONTACTS_PER_ACCOUNT, CONTACT_TITLES),
        hs_buying_role=words(contact % CONTACTS_PER_ACCOUNT, ("CHAMPION", "BUDGET_HOLDER", "END_USER")),
        associatedcompanyid=picked(records.company_ids, account),
        lifecyclestage=always("opportunity", contact.size),
        **_stamps(created, created),
    )


def close_instants(close_day: np.ndarray, at: np.ndarray, stage: np.ndarray) -> np.ndarray:
    """`closedate`: noon of the planned day; the moment itself where the deal was closed on that day."""
    now = (stage >= WON) & (close_day == at // DAY)
    return np.where(close_day == NONE, NONE, np.where(now, at, close_day * DAY + DAY // 2))


def deals(files: Files, company: Company, deals: Deals, records: Records, tracks: dict[str, Track]) -> None:
    """The live record: a version for each day on which anything changed. Archiving does not move the modified date."""
    record, at = daily(*stamps(*tracks.values()))
    order = np.argsort(at // DAY, kind="stable")
    record, at = record[order], at[order]
    value = {name: track.value_at(record, at) for name, track in tracks.items()}
    gone = value["is_deleted"] == 1
    said = np.where(
        value["flags"] == NONE, np.select([value["stage"] == WON, value["stage"] == LOST], [1, 2], 0), value["flags"]
    )
    moving = [track for name, track in tracks.items() if name not in ("is_deleted", "merged_into")]
    touched = np.concatenate([track.key for track in moving])
    touched.sort()
    modified = touched[np.searchsorted(touched, record * (1 << 32) + at, side="right") - 1] % (1 << 32)
    closing = tracks["close_day"]
    since = _since(closing, record, at)
    synced = np.where(deals.is_synced[record], record, NONE)
    files.write(
        TABLE["deal"],
        at // DAY,
        id=picked(records.hubspot_deal_ids, record),
        dealname=joined(
            picked(records.account_names, deals.account[record]),
            words(deals.product[record], [f" - {name}" for name in PRODUCTS]),
        ),
        pipeline=always("default", record.size),
        dealstage=words(value["stage"], STAGES),
        amount=decimals(value["amount"]),
        list_amount=decimals(value["list_amount"]),
        discount_rate=decimals(value["discount"], "DECIMAL(9,4)"),
        deal_currency_code=words(value["currency"], CURRENCIES),
        closedate=instants(close_instants(value["close_day"], since, tracks["stage"].value_at(record, since))),
        hubspot_owner_id=picked(records.owner_ids, company.spells.user[value["owner"]]),
        dealtype=words(deals.kind[record], ("newbusiness", "existingbusiness", "renewal")),
        hs_analytics_source=words(deals.source[record], SOURCES),
        product=words(deals.product[record], PRODUCTS),
        hs_campaign=picked(campaign_ids(deals), deals.campaign[record]),
        hs_manual_forecast_category=words(value["category"], CATEGORIES),
        hs_deal_stage_probability=decimals(
            np.where(value["probability"] == NONE, NONE, value["probability"] * 100), "DECIMAL(9,4)"
        ),
        hs_is_closed=flags(said > 0),
        hs_is_closed_won=flags(said == 1),
        hs_next_step=words(value["next_step"], NEXT_STEPS),
        next_step_date=dates(value["next_step_day"]),
        champion=picked(records.contact_names, value["champion"]),
        economic_buyer=picked(records.contact_names, value["economic_buyer"]),
        budget_confirmed=flags(np.where(value["budget"] == NONE, 0, value["budget"])),
        decision_timeline=dates(value["timeline"]),
        competitor=words(value["competitor"], COMPETITORS),
        closed_lost_reason=words(value["loss_reason"], LOSS_REASONS),
        salesforce_opportunity_id=picked(records.deal_ids, synced),
        **_stamps(deals.created[record], modified, gone),
    )
    associations(files, company, deals, records, tracks)


def _since(track: Track, record: np.ndarray, at: np.ndarray) -> np.ndarray:
    """When the value that holds at each instant was set."""
    found = np.searchsorted(track.key, record * (1 << 32) + at, side="right") - 1
    return track.at[np.maximum(found, 0)]


def associations(files: Files, company: Company, deals: Deals, records: Records, tracks: dict[str, Track]) -> None:
    """The primary company of each deal, a second one (the parent) on some, and merges."""
    record = np.unique(tracks["stage"].record)
    day = deals.created[record] // DAY
    linked = deals.tracks["account"].value_at(record, deals.created[record])
    second = np.where(linked == NONE, NONE, second_company(company, deals)[record])
    record, day = np.concatenate([record, record[second != NONE]]), np.concatenate([day, day[second != NONE]])
    account = np.concatenate([linked, second[second != NONE]])
    is_primary = np.arange(record.size) < linked.size
    kept = account != NONE
    record, day, account, is_primary = record[kept], day[kept], account[kept], is_primary[kept]
    order = np.argsort(day, kind="stable")
    files.write(
        TABLE["deal_company"],
        day[order],
        deal_id=picked(records.hubspot_deal_ids, record[order]),
        company_id=picked(records.company_ids, account[order]),
        is_primary=flags(is_primary[order]),
    )
    merged = tracks["merged_into"]
    merged = merged.only(merged.value != NONE)
    order = np.argsort(merged.at, kind="stable")
    files.write(
        TABLE["merged_deal"],
        merged.at[order] // DAY,
        merged_deal_id=picked(records.hubspot_deal_ids, merged.record[order]),
        deal_id=picked(records.hubspot_deal_ids, merged.value[order]),
        merged_at=instants(merged.at[order]),
    )


def deal_contacts(files: Files, deals: Deals, records: Records, roles: dict[str, np.ndarray]) -> None:
    chosen = deals.in_hubspot[roles["deal"]]
    deal, contact, at, role = (roles[name][chosen] for name in ("deal", "contact", "at", "role"))
    files.write(
        TABLE["deal_contact"],
        at // DAY,
        deal_id=picked(records.hubspot_deal_ids, deal),
        contact_id=picked(records.hubspot_contact_ids, contact),
        label=words(role, ("Champion", "Economic Buyer", "User")),
    )


def property_history(
    files: Files, company: Company, deals: Deals, records: Records, tracks: dict[str, Track], late
) -> None:
    """propertiesWithHistory: the first value and every change, as text; emptied is an empty text."""
    parts = []
    for place, (name, field) in enumerate(
        (("stage", "dealstage"), ("amount", "amount"), ("close_day", "closedate"), ("owner", "hubspot_owner_id"))
    ):
        track = tracks[name]
        if name == "stage":
            text = words(track.value, STAGES).cast(pa.string())
        elif name == "amount":
            text = decimals(track.value).cast(pa.string())
        elif name == "owner":
            text = picked(records.owner_ids, company.spells.user[track.value])
        else:
            instant = close_instants(track.value, track.at, tracks["stage"].value_at(track.record, track.at))
            text = pc.strftime(instants(instant).cast(pa.timestamp("s")), "%Y-%m-%dT%H:%M:%SZ")
        text = pc.fill_null(text, "")
        kept = ~(track.is_first() & (track.value == NONE))
        parts.append(
            (track.record[kept], track.at[kept], np.full(int(kept.sum()), place), text.filter(pa.array(kept)), field)
        )
    record, at, place = (np.concatenate([part[number] for part in parts]) for number in range(3))
    text = pa.concat_arrays([part[3] for part in parts])
    delay = np.zeros(record.size, dtype=np.int64)
    for deal, instant, days in zip(late["record"], late["at"], late["days"], strict=True):
        delay[(record == deal) & (at == instant)] = days
    loaded = at // DAY + delay
    order = np.lexsort((place, record, at, loaded))
    record, at, place, loaded = record[order], at[order], place[order], loaded[order]
    owner = company.spells.user[tracks["owner"].value_at(record, at)]
    source = np.where(deals.is_synced[record] & (place == 1), 1, 0)
    files.write(
        TABLE["deal_property_history"],
        loaded,
        deal_id=picked(records.hubspot_deal_ids, record),
        property=words(place, [part[4] for part in parts]),
        value=picked(text, order),
        changed_at=instants(at),
        source_type=words(source, ("CRM_UI", "INTEGRATION")),
        updated_by_user_id=number_ids(60_000_000, owner),
    )


def pipelines(files: Files, company: Company) -> None:
    day, created = company.first_day, (company.first_day - 300) * DAY
    n = len(STAGES)
    files.write(
        TABLE["deal_pipeline"],
        np.full(1, day),
        id=pa.array(["default"]),
        label=pa.array(["Sales Pipeline"]),
        displayOrder=pa.array([0]),
        archived=pa.array([False]),
        createdAt=instants([created]),
        updatedAt=instants([created]),
    )
    is_later = day < STAGE_RENAMED
    number = np.append(np.arange(n), 4) if is_later else np.arange(n)
    label = [*LABELS, "Contract Out"] if is_later else [*LABELS[:4], "Contract Out", *LABELS[5:]]
    loaded = np.append(np.full(n, day), STAGE_RENAMED)[: number.size]
    files.write(
        TABLE["deal_pipeline_stage"],
        loaded,
        id=words(number, STAGES),
        pipeline_id=always("default", number.size),
        label=pa.array(label),
        displayOrder=pa.array(number),
        isClosed=flags(number >= WON),
        probability=decimals(np.array(PROBABILITY)[number] * 100, "DECIMAL(9,4)"),
        archived=flags(np.zeros(number.size, dtype=bool)),
        createdAt=instants(np.full(number.size, created)),
        updatedAt=instants(np.where(loaded == day, created, loaded * DAY + 30_000)),
    )


def activities(files: Files, company: Company, deals: Deals, records: Records, chunk: Activities) -> None:
    here = chunk.where(chunk.in_crm & deals.in_hubspot[chunk.deal])
    for kind, write in ((CALL, _calls), (EMAIL, _emails), (TASK, _todos)):
        write(files, company, deals, records, here.where(here.kind == kind))
    _meetings(files, company, deals, records, here.where((here.kind == MEETING) | (here.kind == DEMO)))


def _engagement(company: Company, deals: Deals, records: Records, some: Activities, row, title) -> dict:
    deal = some.deal[row]
    return {
        "id": number_ids(ENGAGEMENT_ID, some.number[row]),
        "hubspot_owner_id": picked(records.owner_ids, company.spells.user[some.spell[row]]),
        "title": title,
        "deal_id": picked(records.hubspot_deal_ids, deal),
        "company_id": picked(records.company_ids, deals.account[deal]),
        "contact_id": picked(records.hubspot_contact_ids, some.contact[row]),
    }


def _calls(files: Files, company, deals, records, some: Activities) -> None:
    row = np.argsort(some.at // DAY, kind="stable")
    talked = np.select([some.outcome[row] == CONNECTED, some.outcome[row] == VOICEMAIL], [0, 2], 1)
    files.write(
        TABLE["engagement_call"],
        some.at[row] // DAY,
        **_engagement(company, deals, records, some, row, always("Call", row.size)),
        hs_timestamp=instants(some.at[row] + (some.number[row] % 9 - 4) * 60),
        hs_call_direction=words(some.is_inbound[row].astype(int), ("OUTBOUND", "INBOUND")),
        hs_call_duration=whole(some.seconds[row] * 1000),
        hs_call_disposition=words(talked, DISPOSITIONS),
        hs_call_status=always("COMPLETED", row.size),
        **_stamps(some.at[row], some.at[row] + some.seconds[row]),
    )


def _emails(files: Files, company, deals, records, some: Activities) -> None:
    row = np.argsort(some.at // DAY, kind="stable")
    files.write(
        TABLE["engagement_email"],
        some.at[row] // DAY,
        **_engagement(
            company,
            deals,
            records,
            some,
            row,
            words(some.is_inbound[row].astype(int), ("Following up", "Re: proposal")),
        ),
        hs_timestamp=instants(some.at[row]),
        hs_email_direction=words(some.is_inbound[row].astype(int), ("EMAIL", "INCOMING_EMAIL")),
        hs_email_status=always("SENT", row.size),
        **_stamps(some.at[row], some.at[row]),
    )


def _todos(files: Files, company, deals, records, some: Activities) -> None:
    finished = some.outcome != NOT_DONE
    later = finished & (some.done // DAY > some.at // DAY)
    row = np.concatenate([np.arange(len(some)), np.flatnonzero(later)])
    is_done = np.concatenate([finished & ~later, np.ones(int(later.sum()), dtype=bool)])
    at = np.where(is_done, some.done[row], some.at[row])
    order = np.argsort(at // DAY, kind="stable")
    row, is_done, at = row[order], is_done[order], at[order]
    files.write(
        TABLE["engagement_task"],
        at // DAY,
        **_engagement(company, deals, records, some, row, always("To do", row.size)),
        hs_timestamp=instants(some.due[row] * DAY + 32_400),
        hs_task_status=words(is_done.astype(int), ("NOT_STARTED", "COMPLETED")),
        hs_task_completion_date=instants(np.where(is_done, at, NONE)),
        **_stamps(some.at[row], at),
    )


def _meetings(files: Files, company, deals, records, some: Activities) -> None:
    booked = some.planned < some.at // DAY
    row = np.concatenate([np.arange(len(some)), np.flatnonzero(booked)])
    is_plan = np.concatenate([np.zeros(len(some), dtype=bool), np.ones(int(booked.sum()), dtype=bool)])
    day = np.where(is_plan, some.planned[row], some.at[row] // DAY)
    order = np.argsort(day, kind="stable")
    row, is_plan, day = row[order], is_plan[order], day[order]
    start = some.at[row] + (some.number[row] % 9 - 4) * 60
    written = np.where(
        booked[row], np.maximum(some.planned[row] * DAY + 32_400, deals.created[some.deal[row]]), some.at[row]
    )
    outcome = np.select([is_plan, some.outcome[row] == NO_SHOW, some.outcome[row] == CANCELED], [3, 1, 2], 0)
    files.write(
        TABLE["engagement_meeting"],
        day,
        **_engagement(
            company, deals, records, some, row, words((some.kind[row] == DEMO).astype(int), ("Meeting", "Product demo"))
        ),
        hs_timestamp=instants(start),
        hs_activity_type=words((some.kind[row] == DEMO).astype(int), ("Meeting", "Demo")),
        hs_meeting_start_time=instants(start),
        hs_meeting_end_time=instants(start + some.seconds[row]),
        hs_meeting_outcome=words(outcome, ("COMPLETED", "NO_SHOW", "CANCELED", "SCHEDULED")),
        **_stamps(written, np.where(is_plan, written, some.at[row] + some.seconds[row])),
    )
