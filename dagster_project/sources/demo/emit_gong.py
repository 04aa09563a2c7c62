"""The recorded calls in Gong's shapes: users, calls, who was on them, the CRM records they belong to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.sources.demo.activities import CALL, DEMO, Activities
from dagster_project.sources.demo.clock import DAY, NEVER
from dagster_project.sources.demo.company import Company
from dagster_project.sources.demo.deals import Deals
from dagster_project.sources.demo.ids import number_ids
from dagster_project.sources.demo.parquet import Files, always, flags, instants, joined, picked, whole, words
from dagster_project.sources.demo.records import Records
from dagster_project.sources.demo.tracks import NONE
from dagster_project.sources.gong.shapes import TABLES

CALL_ID, CALL_STEP = 7_400_000_000_000_000_000, 13  # the first call's id, and the step to the next
TABLE = {table.name: table for table in TABLES}


def users(files: Files, company: Company, records: Records, managers: np.ndarray) -> None:
    """One user a person; leaving and coming back are versions. managers: by spell, the spell above it."""
    spells = company.spells
    order = np.lexsort((spells.start, spells.person))
    spell = order[spells.start[order] <= company.last_day]
    left = spell[spells.end[spell] < company.last_day]
    day = np.concatenate([spells.start[spell], spells.end[left] + 1])
    active = np.concatenate([np.ones(spell.size), np.zeros(left.size)])
    spell = np.concatenate([spell, left])
    day = np.maximum(day, company.first_day)
    order = np.lexsort((active == 1, spells.start[spell], day, spells.person[spell]))
    spell, day, active = spell[order], day[order], active[order]
    person = spells.person[spell]
    last = np.append((person[1:] != person[:-1]) | (day[1:] != day[:-1]), True)
    spell, day, active, person = spell[last], day[last], active[last], person[last]
    order = np.argsort(day, kind="stable")
    spell, day, active, person = spell[order], day[order], active[order], person[order]
    above = managers[spell]
    first = np.full(len(spells), NEVER)
    np.minimum.at(first, spells.person, spells.start)
    files.write(
        TABLE["user"],
        day,
        id=picked(records.gong_user_ids, person),
        emailAddress=picked(records.emails, person),
        firstName=picked(records.first_names, person),
        lastName=picked(records.last_names, person),
        active=flags(active.astype(np.int64)),
        managerId=picked(records.gong_user_ids, np.where(above == NONE, NONE, spells.person[above])),
        created=instants(first[person] * DAY + 9 * 3600),
    )


def calls(files: Files, company: Company, deals: Deals, records: Records, chunk: Activities) -> None:
    heard = chunk.where(chunk.in_gong)
    n, day, spells = len(heard), heard.at // DAY, company.spells
    ids = number_ids(CALL_ID, heard.number * CALL_STEP)
    users = picked(records.gong_user_ids, spells.person[heard.spell])
    start = heard.at + heard.number % 11 * 30  # recording starts a little after the calendar entry
    title = words(
        np.where(heard.kind == CALL, 0, np.where(heard.kind == DEMO, 1, 2)),
        ("Call with ", "Demo for ", "Meeting with "),
    )
    files.write(
        TABLE["call"],
        day,
        id=ids,
        title=joined(title, picked(records.account_names, deals.account[heard.deal])),
        scheduled=instants(heard.at),
        started=instants(start),
        duration=whole(heard.seconds),
        primaryUserId=users,
        direction=words(np.where(heard.kind == CALL, heard.is_inbound, 2), ("Outbound", "Inbound", "Conference")),
        scope=always("External", n),
        system=words(np.where(heard.kind == CALL, 0, 1), ("Aircall", "Zoom")),
        isPrivate=flags(np.zeros(n, dtype=bool)),
    )
    for is_rep in (True, False):
        person = spells.person[heard.spell]
        files.write(
            TABLE["call_party"],
            day,
            call_id=ids,
            id=number_ids(3_100_000_000_000_000_000 if is_rep else 3_200_000_000_000_000_000, heard.number * 13),
            emailAddress=picked(records.emails, person) if is_rep else picked(records.contact_emails, heard.contact),
            name=joined(picked(records.first_names, person), pa.scalar(" "), picked(records.last_names, person))
            if is_rep
            else picked(records.contact_names, heard.contact),
            affiliation=always("Internal" if is_rep else "External", n),
            userId=users if is_rep else None,
            speakerId=number_ids(5_500_000_000_000_000_000, heard.number * 13 + is_rep),
        )
    in_hubspot = deals.in_hubspot[heard.deal]
    for of_deal in (True, False):
        kind = ("Opportunity", "Deal") if of_deal else ("Account", "Company")
        sales = (
            picked(records.deal_ids, heard.deal) if of_deal else picked(records.account_ids, deals.account[heard.deal])
        )
        hub = (
            picked(records.hubspot_deal_ids, heard.deal)
            if of_deal
            else picked(records.company_ids, deals.account[heard.deal])
        )
        files.write(
            TABLE["call_context"],
            day,
            call_id=ids,
            system=words(in_hubspot.astype(int), ("Salesforce", "HubSpot")),
            object_type=words(in_hubspot.astype(int), kind),
            object_id=pc.if_else(pa.array(in_hubspot), hub, sales),
        )
