"""Hygiene against the simulation: every rule finds exactly the deals it stands against, now and on days long past."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from dagster_project import dbt_build
from dagster_project.settings import PROJECT_ROOT
from dagster_project.sources.demo import DemoSource
from dagster_project.sources.demo.clock import DAY
from dagster_project.sources.demo.truth import Truth
from dagster_project.sources.registry import open_sources
from tests.warehouse.company import Company
from tests.warehouse.hygiene_truth import RULE_OF, Simulated

HYGIENE = ("--select", "hygiene_rules", "path:models/hygiene")
MODELS = ("--select", "+exceptions", "+restatements", "--resource-type", "model", "--resource-type", "seed")
DAYS_AGO = (0, 28, 91, 365, 800)
GUIDE = PROJECT_ROOT / "docs" / "add-a-hygiene-rule.md"
STOOD = """
select rule_id, opportunity_id from hygiene.exceptions
where first_seen_date <= ? and (resolved_date is null or resolved_date > ?)
"""


def stood(company: Company, day: date) -> dict[str, set[str]]:
    """Deals each rule stood against at the end of a day, by the exceptions."""
    found: dict[str, set[str]] = {rule: set() for (rule,) in company.query("select rule_id from hygiene.rules")}
    for rule, deal in company.query(STOOD, day, day):
        found[rule].add(deal)
    return found


def as_date(at: int) -> date:
    return np.datetime64(at // DAY, "D").item()


@pytest.fixture(scope="module")
def simulated(demo_company) -> Simulated:
    return Simulated.of(demo_company.settings.demo_size, demo_company.settings.demo_seed)


def planted(company: Company):
    [source] = open_sources(company.settings)
    defects = Truth(source.folder).defects()
    is_hubspot_deal = (defects["source_system"] == "hubspot") & defects["record_id"].str.isdigit()
    ids = defects["record_id"].where(~is_hubspot_deal, "hubspot-" + defects["record_id"])
    return defects.assign(opportunity_id=ids)[defects["defect_id"].isin(RULE_OF)]


def test_every_rule_of_the_contract_is_there_and_no_other(demo_company):
    assert {rule for (rule,) in demo_company.query("select rule_id from hygiene.rules")} == set(RULE_OF.values())


def test_recall_and_precision_of_every_rule_are_one(demo_company, simulated, capsys):
    """The truth of a rule is its sentence judged on the simulated tracks, so what the demo brings about by itself counts
    like what was planted. All of it can be told from the records: a copy entered at another list amount than its original
    is no duplicate that a record shows, and the truth leaves it out."""
    lines, wrong = [f"{'rule':<28}{'day':>12}{'true':>6}{'found':>7}{'recall':>8}{'precision':>11}"], []
    for ago in DAYS_AGO:
        at = simulated.company.last_second - ago * DAY
        truth, found = simulated.standing(at), stood(demo_company, as_date(at))
        for rule in sorted(truth):
            hit = len(truth[rule] & found[rule])
            recall = hit / len(truth[rule]) if truth[rule] else 1.0
            precision = hit / len(found[rule]) if found[rule] else 1.0
            lines.append(
                f"{rule:<28}{as_date(at)!s:>12}{len(truth[rule]):>6}{len(found[rule]):>7}{recall:>8.3f}{precision:>11.3f}"
            )
            if truth[rule] != found[rule]:
                wrong.append((rule, as_date(at), truth[rule] - found[rule], found[rule] - truth[rule]))
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert not wrong


def test_every_planted_defect_has_its_exception(demo_company, simulated):
    """Each deal of H01 to H19, on any day. A planted copy whose list amount differs, or a deal without any activity to
    backdate, shows nothing; the truth says which."""
    defects = planted(demo_company)
    assert {f"H{number:02}" for number in range(1, 20)} == set(defects["defect_id"])
    shown = simulated.standing(simulated.company.last_second)
    ever = {}
    for rule, deal in demo_company.query("select distinct rule_id, opportunity_id from hygiene.exceptions"):
        ever.setdefault(rule, set()).add(deal)
    missed = []
    for defect, deals in defects.groupby("defect_id")["opportunity_id"]:
        ids, rule = set(deals), RULE_OF[defect]
        if defect in ("H13", "H19"):
            missed += [(defect, deal) for deal in (ids & shown[rule]) - ever[rule]]
            assert ids & ever[rule], defect
        else:
            missed += [(defect, deal) for deal in ids - ever[rule]]
    assert not missed


@pytest.mark.parametrize(("fault", "defect"), [("missing_rate", "F01"), ("unmapped_stage", "F02")])
def test_faults_that_stop_the_gate_are_exceptions_too(tmp_path, monkeypatch, fault, defect):
    source = DemoSource("tiny", 42, tmp_path, (fault,))
    monkeypatch.setattr("tests.warehouse.company.open_sources", lambda settings: [source])
    company = Company(tmp_path, demo_size="tiny").build(*MODELS)
    [expected] = Truth(source.folder).defects().query("defect_id == @defect")["record_id"]
    found = company.query(
        "select opportunity_id, resolved_date from hygiene.exceptions where rule_id = ?", RULE_OF[defect]
    )
    assert found == [(expected, None)]


def test_a_rerun_changes_nothing(demo_company):
    before = demo_company.contents("hygiene")
    failed = [node.name for node in demo_company.dbt.build(HYGIENE) if node.is_failed]
    assert not failed and demo_company.contents("hygiene") == before


def test_later_loads_reopen_nothing_and_rewrite_no_resolved_exception(tmp_path):
    """What was resolved seven weeks before the end stands as it was, row by row, but for deals whose history arrived late."""
    company = Company(tmp_path, demo_size="tiny")
    resolved = "select * from hygiene.exceptions where resolved_date is not null"
    before = company.build(*MODELS, demo_until=date(2025, 9, 28)).query(resolved)
    still = company.query("select exception_id from hygiene.exceptions where resolved_date is null")
    company.build(*MODELS, demo_until=None)
    late = {deal for (deal,) in company.query("select distinct opportunity_id from core.restatements")}
    after = {row[0]: row for row in company.query(resolved)}
    assert before and {row for row in before if row[2] not in late} <= set(after.values())
    kept = {key for (key,) in company.query("select exception_id from hygiene.exceptions")}
    gone = {key for (key,) in still} - kept
    assert {key.split("/")[1] for key in gone} <= late


def test_an_exception_stands_from_the_day_the_limit_is_crossed_to_the_day_it_is_mended(demo_company):
    """Overdue: first seen on the day after a close date the deal had, resolved on a day on which the deal changed."""
    rows = demo_company.query(
        """
        select e.exception_id
        from hygiene.exceptions as e
        where e.rule_id = 'overdue_close_date' and (
          not exists (
            select 1 from core.fct_opportunity_states as s
            where s.opportunity_id = e.opportunity_id and s.close_date < e.first_seen_date and s.outcome = 'open'
              and cast(s.valid_from_at as date) <= e.first_seen_date)
          or e.resolved_date is not null and not exists (
            select 1 from core.fct_opportunity_states as s
            where s.opportunity_id = e.opportunity_id and cast(s.valid_from_at as date) = e.resolved_date))
        """
    )
    assert rows == []


# --- adding a rule, as docs/add-a-hygiene-rule.md says


def example(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(), flags=re.S)[0]


@contextmanager
def own_project(demo_company: Company, folder: Path) -> Iterator[Company]:
    """The demo company's warehouse with a copy of the dbt project that a test may change."""
    for name in ("dbt", "seeds"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=shutil.ignore_patterns("target", "logs"))
    shutil.copy(demo_company.settings.warehouse, folder / "warehouse.duckdb")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dbt_build, "DBT_FOLDER", folder / "dbt")
        yield Company(folder)


@pytest.fixture(scope="module")
def own_rules(demo_company, tmp_path_factory) -> Company:
    """The demo company with a rule of one row more, one of one file, and one switched off."""
    folder = tmp_path_factory.mktemp("own_rules")
    with own_project(demo_company, folder) as company:
        seed = folder / "seeds" / "hygiene_rules.csv"
        switched_off = re.sub(r"^(no_contact,.*),true$", r"\1,false", seed.read_text(), flags=re.M)
        seed.write_text(switched_off + example("csv"))
        (folder / "dbt/models/hygiene/rules/expensive_renewal.sql").write_text(example("sql"))
        failed = [f"{node.name}: {node.message}" for node in company.dbt.build(HYGIENE) if node.is_failed]
    assert not failed, "\n".join(failed)
    return company


def test_the_guide_names_every_measure():
    measures = re.findall(
        r"^        '([a-z_]+)': \{'column'", (PROJECT_ROOT / "dbt/macros/hygiene.sql").read_text(), flags=re.M
    )
    assert len(measures) > 5 and not [measure for measure in measures if f"`{measure}`" not in GUIDE.read_text()]


def test_a_threshold_rule_is_one_row(own_rules):
    assert own_rules.one("select sentence from hygiene.rules where rule_id = 'stuck_in_stage'") == (
        "An open deal is in its stage for more than 60 days."
    )
    today = own_rules.one("select as_of_date from intermediate.int_as_of")
    stuck = own_rules.query(
        """
        select distinct s.opportunity_id
        from core.fct_stage_stays as s inner join core.fct_opportunities as o on s.opportunity_id = o.opportunity_id
        where s.exited_at is null and o.outcome = 'open' and not o.is_deleted and o.merged_into_id is null and not o.is_excluded
          and datediff('day', s.entered_date, ?) > 60
        """,
        today,
    )
    assert stuck and stood(own_rules, today)["stuck_in_stage"] == {deal for (deal,) in stuck}


def test_any_other_rule_is_one_file(own_rules):
    [words] = own_rules.query(
        "select sentence, severity, owner, measure from hygiene.rules where rule_id = 'expensive_renewal'"
    )
    assert words == ("An open renewal is discounted by more than 0.15.", "warning", "sales manager", None)
    today = own_rules.one("select as_of_date from intermediate.int_as_of")
    dear = own_rules.query(
        "select opportunity_id from core.fct_opportunities where outcome = 'open' and type = 'renewal' and discount_rate > 0.15 "
        "and not is_deleted and merged_into_id is null and not is_excluded"
    )
    assert dear and stood(own_rules, today)["expensive_renewal"] == {deal for (deal,) in dear}


def test_a_rule_switched_off_finds_nothing(own_rules):
    assert own_rules.one("select count(*) from hygiene.exceptions where rule_id = 'no_contact'") == 0
    assert own_rules.one("select count(*) from hygiene.rules where rule_id = 'no_contact' and not is_active") == 1


def test_what_is_done_to_some_rules_changes_no_other(own_rules, demo_company):
    today = demo_company.one("select as_of_date from intermediate.int_as_of")
    now, before = stood(own_rules, today), stood(demo_company, today)
    assert now.pop("stuck_in_stage") and now.pop("expensive_renewal") and before["no_contact"]
    assert now == before | {"no_contact": set()}


def test_a_rule_nobody_can_judge_is_told(demo_company, tmp_path):
    with own_project(demo_company, tmp_path) as company:
        with (tmp_path / "seeds" / "hygiene_rules.csv").open("a") as seed:
            seed.write("too_old,Too old.,warning,days_opne,>,60,days,sales,true\nno_file,Nothing.,warning,,,,,sales,true\n")
        [failed] = [node for node in company.dbt.build(HYGIENE) if node.is_failed]
    assert "hygiene_every_rule_is_judged_by_something" in failed.name and failed.failures == 2
