"""Ids, names and e-mail addresses of every record, the same in all systems that know it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.sources.demo.clock import generator
from dagster_project.sources.demo.company import (
    CONTACTS_PER_ACCOUNT,
    Company,
    account_names,
    person_names,
)
from dagster_project.sources.demo.deals import Deals
from dagster_project.sources.demo.ids import number_ids, salesforce_ids
from dagster_project.sources.demo.names import FIRST_NAMES, LAST_NAMES
from dagster_project.sources.demo.parquet import joined, picked, words

TEST_IDS = [f"006DEMOTEST{number:04d}AAA" for number in range(1, 10)]


@dataclass
class Records:
    """Arrow arrays by index: `user_ids[spells.user[i]]`, `account_ids[deals.account[i]]` and so on."""

    user_ids: pa.Array
    owner_ids: pa.Array  # HubSpot
    gong_user_ids: pa.Array  # by person
    first_names: pa.Array  # by person
    last_names: pa.Array
    emails: pa.Array
    account_ids: pa.Array
    company_ids: pa.Array  # HubSpot
    account_names: pa.Array
    domains: pa.Array
    contact_ids: pa.Array
    hubspot_contact_ids: pa.Array
    contact_names: pa.Array
    contact_first: pa.Array
    contact_last: pa.Array
    contact_emails: pa.Array
    deal_ids: pa.Array  # Salesforce
    hubspot_deal_ids: pa.Array
    shared_emails: np.ndarray  # contacts that carry another one's address


def named(company: Company, deals: Deals) -> Records:
    people = len(company.spells)
    first, last, emails = person_names(people, company.seed)
    accounts = len(company.accounts)
    names, domains = account_names(np.arange(accounts))
    domains = pa.array(domains)
    contacts = np.arange(accounts * CONTACTS_PER_ACCOUNT)
    rng = generator(company.seed, "contacts")
    given = words(rng.integers(0, len(FIRST_NAMES), contacts.size), FIRST_NAMES).cast(pa.string())
    family = words(rng.integers(0, len(LAST_NAMES), contacts.size), LAST_NAMES).cast(pa.string())
    number = pa.array(contacts % CONTACTS_PER_ACCOUNT + 1).cast(pa.string())
    at = pa.scalar("@")
    shared = sharing(company, deals)
    address = pc.binary_join_element_wise(pc.utf8_lower(given), pc.utf8_lower(family), number, ".")
    address = pc.binary_join_element_wise(address, picked(domains, contacts // CONTACTS_PER_ACCOUNT), at)
    owner = contacts.copy()
    owner[shared] = shared - 1
    address = picked(address, owner)
    ids = salesforce_ids("006", np.arange(len(deals)))
    tests = pa.array(TEST_IDS[: int(deals.is_test.sum())])
    return Records(
        user_ids=salesforce_ids("005", np.arange(people)),
        owner_ids=number_ids(410_000_000, np.arange(people)),
        gong_user_ids=number_ids(2_130_000_000_000_000_000, np.arange(people) * 7_919),
        first_names=pa.array(first),
        last_names=pa.array(last),
        emails=pa.array(emails),
        account_ids=salesforce_ids("001", np.arange(accounts)),
        company_ids=number_ids(18_100_000_000, np.arange(accounts)),
        account_names=pa.array(names),
        domains=domains,
        contact_ids=salesforce_ids("003", contacts),
        hubspot_contact_ids=number_ids(61_000_000_000, contacts),
        contact_names=joined(given, pa.scalar(" "), family),
        contact_first=given,
        contact_last=family,
        contact_emails=address,
        deal_ids=pc.replace_with_mask(ids, pa.array(deals.is_test), tests),
        hubspot_deal_ids=number_ids(27_500_000_000, np.arange(len(deals))),
        shared_emails=shared,
    )


def sharing(company: Company, deals: Deals) -> np.ndarray:
    """A few third contacts of accounts with deals in Salesforce, who use their colleague's address."""
    rng = generator(company.seed, "shared e-mails")
    accounts = np.unique(
        deals.account[deals.in_salesforce & ~deals.in_hubspot & (deals.created <= company.last_second)]
    )
    count = min(accounts.size, max(1, round(3 * company.size.defect_scale)))
    return np.sort(rng.choice(accounts, count, replace=False)) * CONTACTS_PER_ACCOUNT + 2
