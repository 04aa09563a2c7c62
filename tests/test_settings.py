"""Settings: what the environment may say, and one clear line for what it may not."""

from __future__ import annotations

import os
import re
from datetime import datetime

import pytest

from dagster_project.settings import DEMO_SIZES, PROJECT_ROOT, Settings, UserError
from dagster_project.sources.demo.sizes import SIZES
from dagster_project.sources.registry import open_sources


def test_an_empty_environment_gives_defaults_that_work():
    assert Settings.from_environment({}) == Settings()
    assert Settings().warehouse == PROJECT_ROOT / "data" / "warehouse.duckdb"
    assert [source.origin for source in open_sources(Settings())] == ["demo"]


def test_an_empty_variable_counts_as_unset():
    names = ("PATH", "PUBLISHED", "SOURCES", "FILES", "FIELDS", "AS_OF", "DEMO_SIZE", "DEMO_SEED")
    assert Settings.from_environment({f"WAREHOUSE_{name}": " " for name in names}) == Settings()


def test_relative_paths_start_at_the_project_root(tmp_path):
    given = {"WAREHOUSE_PATH": "elsewhere/w.duckdb", "WAREHOUSE_PUBLISHED": str(tmp_path)}
    settings = Settings.from_environment(given)
    assert (settings.warehouse, settings.published) == (PROJECT_ROOT / "elsewhere" / "w.duckdb", tmp_path)


@pytest.mark.parametrize("text", ["demo,files", "files,demo", " Files , DEMO "])
def test_the_order_of_sources_changes_nothing(text, tmp_path):
    settings = Settings.from_environment({"WAREHOUSE_SOURCES": text, "WAREHOUSE_FILES": str(tmp_path)})
    assert settings.sources == ("demo", "files")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2025-06-30", datetime(2025, 6, 30, 23, 59, 59, 999999)),
        ("2025-06-30T18:00:00", datetime(2025, 6, 30, 18)),
        ("2025-06-30T18:00:00Z", datetime(2025, 6, 30, 18)),
        ("2025-06-30T20:00:00+02:00", datetime(2025, 6, 30, 18)),
    ],
)
def test_as_of_is_a_utc_instant_and_a_date_is_its_last_one(text, instant):
    assert Settings.from_environment({"WAREHOUSE_AS_OF": text}).as_of == instant


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"WAREHOUSE_SOURCES": "dmeo"}, "unknown source 'dmeo' (did you mean 'demo'?)"),
        ({"WAREHOUSE_SOURCES": "oracle"}, "known: demo, files, salesforce, hubspot, gong"),
        ({"WAREHOUSE_SOURCES": "demo,demo"}, "'demo' is named twice"),
        ({"WAREHOUSE_SOURCES": ","}, "no source in ','"),
        ({"WAREHOUSE_SOURCES": "files"}, "WAREHOUSE_FILES is not set"),
        ({"WAREHOUSE_SOURCES": "files", "WAREHOUSE_FILES": "{tmp}/acmee"}, "acmee (did you mean 'acme'?)"),
        ({"WAREHOUSE_SOURCES": "files", "WAREHOUSE_FILES": "{tmp}/no/where"}, "does not exist either"),
        ({"WAREHOUSE_FIELDS": "{tmp}/feilds.yml"}, "feilds.yml (did you mean 'fields.yml'?)"),
        ({"WAREHOUSE_AS_OF": "30.06.2025"}, "cannot read '30.06.2025'"),
        ({"WAREHOUSE_MEMORY": "3 gigs"}, "write it like 3GB"),
        ({"WAREHOUSE_AS_OF": "2025-02-30"}, "cannot read '2025-02-30'"),
        ({"WAREHOUSE_AS_OF": "0001-01-01T00:00:00+14:00"}, "cannot read"),
        ({"WAREHOUSE_DEMO_SIZE": "meduim"}, "unknown size 'meduim' (did you mean 'medium'?)"),
        ({"WAREHOUSE_DEMO_SEED": "-1"}, "'-1' is not a whole number"),
        ({"WAREHOUSE_DEMO_SEED": "4.2"}, "'4.2' is not a whole number"),
        ({"WAREHOUSE_PATH": "{tmp}/acme"}, "is a folder"),
        ({"WAREHOUSE_PUBLISHED": "{tmp}/notes.txt"}, "is a file"),
    ],
)
def test_a_bad_value_is_one_clear_line_before_anything_is_touched(environment, told, tmp_path):
    (tmp_path / "acme").mkdir()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "fields.yml").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as error:
        Settings.from_environment({name: text.format(tmp=tmp_path) for name, text in environment.items()})
    line = str(error.value)
    assert told in line
    assert "\n" not in line and next(iter(environment)).removesuffix("_SOURCES") in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "variable"),
    [("salesforce", "SALESFORCE_CLIENT_ID"), ("hubspot", "HUBSPOT_TOKEN"), ("gong", "GONG_ACCESS_KEY")],
)
def test_a_connector_without_a_login_says_which_variable_it_needs(name, variable, monkeypatch):
    for known in [each for each in os.environ if each.startswith(f"{name.upper()}_")]:
        monkeypatch.delenv(known)
    with pytest.raises(UserError, match=rf"^{variable}.* not set but WAREHOUSE_SOURCES names '{name}'"):
        open_sources(Settings(sources=(name,)))


def test_an_unknown_source_names_the_nearest():
    with pytest.raises(UserError, match="did you mean 'files'"):
        open_sources(Settings(sources=("flies",)))


def test_the_files_source_opens_on_its_folder(tmp_path):
    (tmp_path / "accounts.csv").write_text("id\n1\n")
    head = "version: 1\nsource: acme\ntimezone: UTC\ncurrency: USD\n"
    accounts = "tables: {accounts: {files: accounts.csv, columns: {account_id: id}}}\n"
    (tmp_path / "mapping.yml").write_text(head + accounts)
    [source] = open_sources(Settings(sources=("files",), files=tmp_path))
    assert (source.origin, source.system) == ("files", "acme")


def test_demo_sizes_are_those_the_demo_knows():
    assert tuple(SIZES) == DEMO_SIZES


def test_crm_urls_say_where_each_systems_records_are_seen():
    text = "salesforce=https://acme.lightning.force.com, hubspot=https://app.hubspot.com/contacts/1,acme=http://crm/?d={id}"
    assert dict(Settings.from_environment({"WAREHOUSE_CRM_URLS": text}).crm_urls) == {
        "salesforce": "https://acme.lightning.force.com",
        "hubspot": "https://app.hubspot.com/contacts/1",
        "acme": "http://crm/?d={id}",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("salesforce", "write <system>=<https://…>"),
        ("salesforce=javascript:alert(1)", "cannot read"),
        ("acme=https://crm.acme.com", "needs {id}"),
        ("hubspot=https://a,hubspot=https://b", "named twice"),
    ],
)
def test_a_bad_crm_url_is_one_clear_line(text, told):
    with pytest.raises(UserError, match=re.escape(told)):
        Settings.from_environment({"WAREHOUSE_CRM_URLS": text})
