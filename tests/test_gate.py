"""The gate: what each severity does, what is stored, and that a suite an analyst got wrong says so in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from dagster_project import gate, warehouse
from dagster_project.gate.suites import BROKEN_BY
from dagster_project.settings import UserError
from tests.hand_made import arrive, make, query, set_deals, settings_in

HEAD = "table: forecast.inputs\nkey: [opportunity_id, lock_date]\nowner: Ops\nrules:\n"
RULE = "  - {name: positive, where: amount < 0, severity: warning, reason: why}\n"
QUARANTINE = HEAD + RULE.replace("warning", "quarantine")


def ruled(rule: str, text: str = HEAD + RULE) -> str:
    return text.replace("where: amount < 0", f"rule: {rule}")


@pytest.fixture
def settings(tmp_path):
    return make(settings_in(tmp_path), [{}, {}, {}])


def judge(settings, which=gate.FORECAST_INPUTS, run_id="run", folder=gate.EXPECTATIONS):
    return gate.run_gate(settings.warehouse, which, run_id, folder=folder)


def failed(outcome) -> dict[str, str]:
    return {verdict.check_name: verdict.severity for verdict in outcome.failed}


def suites_in(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "inputs.yml").write_text(text)
    return folder


# --- what a severity does


def test_clean_deals_pass_and_the_verdict_is_recorded(settings):
    outcome = judge(settings)
    assert outcome.is_passed and not outcome.failed and outcome.held_back is None
    columns = "is_passed, rows_failed_count, cast(lock_date as varchar), sources"
    [row] = query(settings, f"select {columns} from forecast.gate where check_name = 'verdict'")
    assert row == (True, 0, "2025-06-29", "files:acme")


FAULTS = {
    "every_currency_has_a_rate": ("error", {"has_rate": False, "currency_code": "SEK"}),
    "every_stage_is_known": ("error", {"is_known_stage": False}),
    "one_lock_the_latest": ("error", {"lock_date": "2025-06-22"}),
    "commit_closes_in_the_future": ("quarantine", {"is_overdue": True, "forecast_category": "commit"}),
    "deal_has_an_owner": ("quarantine", {"rep_id": None}),
    "amount_is_not_negative": ("quarantine", {"amount": -5, "amount_base": -5}),
    "deal_has_an_amount": ("warning", {"amount": None, "amount_base": 0}),
    "owner_is_active": ("warning", {"is_rep_active": False}),
    "open_deal_is_not_overdue": ("warning", {"is_overdue": True}),
    "deal_has_a_close_date": ("warning", {"close_date": None}),
    "probability_is_a_share": ("warning", {"probability": 40}),
    "category_is_known": ("warning", {"forecast_category": "hope"}),
}


def test_each_planted_fault_fails_its_own_check_and_no_other(settings):
    set_deals(settings, [{"opportunity_id": check, **deal} for check, (_, deal) in FAULTS.items()] + [{}, {}])
    outcome = judge(settings)
    assert failed(outcome) == {check: severity for check, (severity, _) in FAULTS.items()}
    assert all(v.failing["opportunity_id"].to_pylist() == [v.check_name] for v in outcome.failed)


@pytest.mark.parametrize("severity", gate.SEVERITIES)
def test_only_an_error_stops_the_set(settings, severity):
    set_deals(settings, [deal for level, deal in FAULTS.values() if level == severity])
    assert judge(settings).is_passed == (severity != "error")


def test_a_deal_that_stands_twice_is_an_error(settings):
    set_deals(settings, [{"opportunity_id": "d1"}, {}, {}])
    assert failed(judge(settings)) == {"each_deal_stands_once": "error"}


def test_an_error_holds_back_the_whole_set_with_all_its_money(settings):
    set_deals(settings, [{"has_rate": False, "amount_base": 0}, {"amount_base": 2500}, {"amount_base": 500}])
    outcome = judge(settings)
    assert not outcome.is_passed
    assert (outcome.rows_held_count, outcome.held_amount_base) == (3, Decimal("3000.00"))
    assert "2025-06-29" in outcome.held_back


def test_quarantine_counts_a_deal_once_and_lists_it_by_key(settings):
    twice = {"rep_id": None, "is_overdue": True, "forecast_category": "commit", "amount_base": 700}
    set_deals(settings, [twice, {}, {"rep_id": None, "amount_base": 50}])
    outcome = judge(settings)
    assert outcome.is_passed
    assert (outcome.rows_held_count, outcome.held_amount_base) == (2, Decimal("750.00"))
    rows = query(settings, "select check_name, opportunity_id, cast(lock_date as varchar), amount_base, row_key "
                           "from forecast.gate_failing_rows order by all")  # fmt: skip
    assert [row[:2] for row in rows] == [
        ("commit_closes_in_the_future", "d0"), ("deal_has_an_owner", "d0"), ("deal_has_an_owner", "d2"),
    ]  # fmt: skip
    assert json.loads(rows[0][4]) == {"opportunity_id": "d0", "lock_date": "2025-06-29"}
    [verdict] = [verdict for verdict in outcome.failed if verdict.check_name == "deal_has_an_owner"]
    assert (verdict.rows_failed_count, verdict.failed_amount_base) == (2, Decimal("750.00"))


def test_an_absurd_amount_is_found_among_ordinary_ones(settings):
    set_deals(settings, [{"amount_base": 1000 + number} for number in range(40)] + [{"amount_base": 5_000_000}])
    assert failed(judge(settings)) == {"amount_is_plausible": "quarantine"}


def test_every_failing_row_is_stored_not_the_first_few_hundred(settings):
    set_deals(settings, [{"close_date": None}] * 1500)
    judge(settings)
    assert query(settings, "select count(*), count(distinct row_key) from forecast.gate_failing_rows") == [(1500, 1500)]


def test_half_of_the_deals_gone_since_the_last_passed_lock_is_an_error(settings):
    set_deals(settings, [{}] * 40)
    assert judge(settings, run_id="one").is_passed
    set_deals(settings, [{}] * 19)
    outcome = judge(settings, run_id="two")
    assert failed(outcome) == {"deals_did_not_vanish": "error"}
    set_deals(settings, [{}] * 20)
    assert judge(settings, run_id="three").is_passed


def test_another_company_is_not_compared_with_the_last_one(settings):
    set_deals(settings, [{}] * 40)
    judge(settings)
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("update ops.active_sources set system = 'other'")
    set_deals(settings, [{}])
    assert judge(settings, run_id="two").is_passed


def test_a_crm_that_was_not_read_for_days_is_an_error_and_an_export_never_is(settings):
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute(
            """
            insert into raw_hubspot.loads by name
            select 1 as load_id, 'deal' as table_name, 'hubspot' as origin, 'hubspot' as system, 'load' as kind,
              timestamp '2025-06-20' as extracted_at, 'accepted' as status
            """
        )
    assert judge(settings).is_passed
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("insert into ops.active_sources values ('hubspot', 'hubspot')")
    assert failed(judge(settings, run_id="two")) == {"crm_extract_is_fresh": "error"}


# --- every way the inputs go wrong, one at a time

USUAL = [{"amount": 1000 + number, "amount_base": 1000 + number} for number in range(40)]
WHOLE = Decimal("40780.00")  # what the usual deals are worth


def spoil(**changes):
    """The first of the usual deals with these values."""
    return lambda settings: set_deals(settings, [USUAL[0] | changes, *USUAL[1:]])


def run(*statements: str):
    """Spoils what stands beside the inputs."""

    def spoiled(settings):
        with warehouse.connect(settings.warehouse) as connection:
            for statement in statements:
                connection.execute(statement)

    return spoiled


def lose_deals(settings):
    judge(settings, run_id="the week before")
    set_deals(settings, USUAL[:19])


STALE_CRM = """
    insert into raw_salesforce.loads by name
    select 1 as load_id, 'opportunity' as table_name, 'salesforce' as origin, 'salesforce' as system, 'load' as kind,
      timestamp '2025-06-20' as extracted_at, 'accepted' as status
"""
ACTIVE_CRM = "insert into ops.active_sources values ('salesforce', 'salesforce')"
LOCK_TAKEN = "insert into archive.locks (company_id, lock_date) values (1, date '2025-06-15')"
LOCK_MISSED = "insert into intermediate.int_locks_due values (1, date '2025-06-22', true)"
QUOTA_OF_ANOTHER = "insert into core.fct_quotas values ('r2', 'full', date '2025-04-01', date '2025-06-30')"
WINS = "insert into intermediate.int_week_wins select 'w' || range, 200, {} from range({})"
BROKEN = {
    # how: (what is done, the check that must fail, its severity, rows, money)
    "the lock is missing": (
        run("update forecast.inputs set lock_date = date '2025-06-22'"), "one_lock_the_latest", "error", 40, WHOLE),
    "a lock was missed": (
        run(STALE_CRM.replace("06-20", "06-29"), ACTIVE_CRM, LOCK_TAKEN, LOCK_MISSED), "no_lock_was_missed", "warning",
        1, None),
    "the row count dropped": (lose_deals, "deals_did_not_vanish", "error", 1, None),
    "the extract is stale": (run(STALE_CRM, ACTIVE_CRM), "crm_extract_is_fresh", "error", 1, None),
    "a stage is unmapped": (spoil(stage="?", is_known_stage=False), "every_stage_is_known", "error", 1, 1000),
    "a rate is missing": (spoil(has_rate=False, amount_base=0), "every_currency_has_a_rate", "error", 1, None),
    "a commit's close date has passed": (
        spoil(forecast_category="commit", close_date="2025-06-01", is_overdue=True), "commit_closes_in_the_future",
        "quarantine", 1, 1000),
    "a deal has no owner": (spoil(rep_id=None), "deal_has_an_owner", "quarantine", 1, 1000),
    "a deal stands twice": (spoil(opportunity_id="d1"), "each_deal_stands_once", "error", 2, 2001),
    "a deal was entered twice": (
        lambda settings: set_deals(
            settings, [*USUAL, USUAL[0] | {"account_id": "A", "created_date": "2025-05-20", "days_open": 40},
                       USUAL[0] | {"account_id": "A"}]),
        "deal_stands_under_one_id", "quarantine", 1, 1000),
    "an amount is negative": (spoil(amount=-1000, amount_base=-1000), "amount_is_not_negative", "quarantine", 1, -1000),
    "an amount is absurd": (spoil(amount=10**6, amount_base=10**6), "amount_is_plausible", "quarantine", 1, 10**6),
    "the history is out of order": (spoil(days_in_stage=60), "history_is_in_order", "quarantine", 1, 1000),
    "the history runs past the lock": (
        spoil(learned_at="2025-06-30"), "nothing_is_from_after_the_lock", "error", 1, 1000),
    "an active rep's quota is missing": (run(QUOTA_OF_ANOTHER), "every_active_rep_has_a_quota", "warning", 1, WHOLE),
    "wins come from nowhere": (
        run(WINS.format("false", 5), WINS.format("true", 4)), "wins_do_not_come_from_nowhere", "error", 1, 1000),
}  # fmt: skip
BESIDES = {"wins come from nowhere": {"win_was_open_at_the_lock_before"}}  # the same wins, one by one


@pytest.mark.parametrize("way", BROKEN)
def test_inputs_broken_in_one_way_fail_the_check_for_it_in_the_log_of_the_gate(settings, way):
    set_deals(settings, USUAL)
    assert judge(settings, run_id="before").failed == ()
    spoiled, check, severity, rows, money = BROKEN[way]
    spoiled(settings)
    judge(settings, run_id="broken")
    columns = "check_name, severity, rows_failed_count, failed_amount_base, reason, owner, held_back"
    of_run = f"select {columns} from forecast.gate where run_id = 'broken'"
    failed_rows = query(settings, f"{of_run} and not is_passed and check_name <> 'verdict'")
    [found] = [row for row in failed_rows if row[0] not in BESIDES.get(way, ())]
    assert found[:4] == (check, severity, rows, money)
    assert len(found[4].split()) > 5 and found[5]
    [(is_passed, held_back, held_amount)] = query(
        settings,
        "select is_passed, held_back, failed_amount_base from forecast.gate where run_id = 'broken' "
        "and check_name = 'verdict'",
    )
    assert is_passed == (severity != "error")
    if severity == "error":
        assert held_back.startswith("the forecast of lock 2025-06-")
        assert held_amount == query(settings, "select sum(amount_base) from forecast.inputs")[0][0]
    elif severity == "quarantine":
        assert (held_back, held_amount) == ("1 deal in quarantine", money)
    else:
        assert held_back is None


def test_a_few_wins_that_nobody_saw_coming_are_shown_and_stop_nothing(settings):
    run(WINS.format("false", 4), WINS.format("true", 1))(settings)
    assert failed(judge(settings)) == {"win_was_open_at_the_lock_before": "warning"}
    [(money,)] = query(
        settings, "select failed_amount_base from forecast.gate where check_name = 'win_was_open_at_the_lock_before'"
    )
    assert money == 800


def test_a_company_without_quotas_is_not_asked_for_them(settings):
    assert judge(settings).failed == ()


# --- what arrived


def loads(settings):
    return query(settings, "select load_id, status, refused_reason from raw_files.loads order by 1")


def test_a_good_load_is_accepted_and_judged_only_once(settings):
    arrive(settings, 1, ["a", "b"])
    assert judge(settings, gate.RAW).is_passed
    assert loads(settings) == [(1, "accepted", None)]
    again = judge(settings, gate.RAW, "two")
    assert again.is_passed and not again.verdicts


def test_an_empty_arrival_passes(settings):
    arrive(settings, 1, [])
    assert judge(settings, gate.RAW).is_passed


def test_a_doubled_key_refuses_the_load_and_the_repaired_one_never_meets_it(settings):
    arrive(settings, 1, ["a", "a", "b"])
    outcome = judge(settings, gate.RAW)
    assert failed(outcome) == {"one_version_an_extract": "error"} and "load 1" in outcome.held_back
    assert loads(settings) == [(1, "refused", "raw_files.opportunities: one_version_an_extract")]
    [(text,)] = query(settings, "select distinct row_key from forecast.gate_failing_rows")
    assert json.loads(text)["opportunity_id"] == "a"
    arrive(settings, 2, ["a", "b"])
    assert judge(settings, gate.RAW, "two").is_passed


def test_a_collapsed_export_is_refused_and_a_shrunken_one_noted(settings):
    arrive(settings, 1, [str(number) for number in range(100)], "2025-06-28")
    assert judge(settings, gate.RAW).is_passed
    arrive(settings, 2, ["x"], "2025-06-29", rows_read=49)
    assert failed(judge(settings, gate.RAW, "two")) == {"export_did_not_collapse": "error"}
    arrive(settings, 3, ["x"], "2025-06-30", rows_read=85)
    assert failed(judge(settings, gate.RAW, "three")) == {"export_did_not_shrink": "warning"}


def test_an_export_older_than_the_last_is_refused(settings):
    arrive(settings, 1, ["a"], "2025-06-29")
    judge(settings, gate.RAW)
    arrive(settings, 2, ["b"], "2025-06-28")
    assert failed(judge(settings, gate.RAW, "two")) == {"export_is_not_older_than_the_last": "error"}


# --- the file is free for the next one, and the verdict holds for these inputs only


def test_no_connection_is_left_open(settings):
    set_deals(settings, [{"rep_id": None}])
    judge(settings)
    code = f"import duckdb; duckdb.connect({str(settings.warehouse)!r}).execute('create table free (i int)')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_rule_that_cannot_run_stops_the_gate_and_frees_the_file(settings, tmp_path):
    text = HEAD + "  - {name: broken, sql: select * from nowhere, severity: warning, reason: why}\n"
    with pytest.raises(UserError, match=r"folder/inputs.yml: broken cannot be run: .*nowhere"):
        judge(settings, folder=suites_in(tmp_path / "folder", text))
    assert query(settings, "select count(*) from forecast.gate") == [(0,)]
    set_deals(settings, [])


def require_pass(settings):
    with warehouse.connect(settings.warehouse, read_only=True) as connection:
        gate.require_pass(connection)


def test_the_pass_ends_when_the_inputs_change(settings):
    with pytest.raises(UserError, match="never judged"):
        require_pass(settings)
    judge(settings)
    require_pass(settings)
    with warehouse.connect(settings.warehouse) as connection:
        connection.execute("update forecast.inputs set amount = amount + 1 where opportunity_id = 'd1'")
    with pytest.raises(UserError, match="changed after the gate passed"):
        require_pass(settings)


def test_a_failed_verdict_is_no_pass_whatever_passed_before(settings):
    judge(settings, run_id="one")
    set_deals(settings, [{"is_known_stage": False}])
    judge(settings, run_id="two")
    with pytest.raises(UserError, match="every_stage_is_known failed"):
        require_pass(settings)


def test_equal_rows_do_not_cancel_in_the_fingerprint(settings):
    with warehouse.connect(settings.warehouse, read_only=True) as connection:
        two, none = (gate.fingerprint(connection, f"(select 1 as i from range({count}))") for count in (2, 0))
    assert two != none and none == "0:0"


# --- every rule names what it finds

ARGUMENTS = {
    "expect_column_values_to_not_be_null": "column: rep_id",
    "expect_column_values_to_be_null": "column: source_system",
    "expect_column_values_to_be_in_set": "column: stage, value_set: [Won, it's]",
    "expect_column_values_to_not_be_in_set": "column: currency_code, value_set: [XXX]",
    "expect_column_values_to_be_between": "column: close_date, min_value: 2025-07-01, strict_min: true",
    "expect_column_value_lengths_to_be_between": "column: forecast_category, max_value: 8",
    "expect_column_values_to_be_unique": "column: probability",
    "expect_compound_columns_to_be_unique": "column_list: [probability, stage]",
    "expect_column_pair_values_to_be_equal": "column_A: amount, column_B: amount_base",
    "expect_column_pair_values_a_to_be_greater_than_b": "column_A: amount, column_B: amount_base, or_equal: true",
}
GOOD = {"source_system": None, "stage": "it's"}
BAD = {
    "rep_id": None, "stage": "Nowhere", "currency_code": "XXX", "close_date": "2025-07-01", "amount": 7,
    "amount_base": 9,
    "forecast_category": "pipelines", "probability": 0.7,
}  # fmt: skip


def test_the_rows_listed_are_the_rows_judged_for_every_rule(settings, tmp_path):
    rules = "".join(
        f"  - {{name: rule_{number}, rule: {rule}, {ARGUMENTS[rule]}, severity: warning, reason: why}}\n"
        for number, rule in enumerate(BROKEN_BY)
    )
    folder = suites_in(tmp_path / "folder", HEAD + rules)
    set_deals(settings, [GOOD, {**GOOD, "probability": 0.5}])
    assert judge(settings, folder=folder).failed == ()
    set_deals(settings, [GOOD, BAD, BAD])
    verdicts = judge(settings, run_id="two", folder=folder).failed
    assert len(verdicts) == len(BROKEN_BY)
    assert all(verdict.failing["opportunity_id"].to_pylist() == ["d1", "d2"] for verdict in verdicts)


def test_a_stored_row_shows_what_the_check_is_about_and_no_more(settings, tmp_path):
    text = HEAD.replace("owner:", "show: [stage]\nowner:") + RULE
    set_deals(settings, [{"amount": -1}])
    [verdict] = judge(settings, folder=suites_in(tmp_path / "folder", text)).failed
    assert json.loads(verdict.failing["row_text"][0].as_py()) == {"stage": "Proposal", "amount": -1.0}


# --- a suite written wrongly


def test_the_suites_of_the_project_can_be_read_and_name_raw_tables_that_exist():
    tables = {table.relation for table in warehouse.ALL_TABLES} | {f"{t.schema}.loads" for t in warehouse.ALL_TABLES}
    suites = gate.load_suites()
    assert {suite.table for suite in suites} - tables == {gate.INPUTS}
    assert all(rule.severity != "quarantine" for suite in suites if suite.gate == gate.RAW for rule in suite.rules)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "inputs.yml: `rules` must be a list with at least one rule"),
        (HEAD + RULE.replace("where", "wehre"), "rule 1 (positive): give exactly one of rule, where, sql; got none"),
        (HEAD + RULE + RULE, "two rules are named 'positive'"),
        (HEAD + RULE.replace("warning", "eror"), "severity 'eror' is unknown (did you mean 'error'?)"),
        (HEAD + RULE.replace(", reason: why", ""), "`reason` is missing"),
        (HEAD.replace("owner: Ops\n", "") + RULE, "`owner` is missing"),
        (HEAD.replace("key:", "keys:") + RULE, "unknown key 'keys' (did you mean 'key'?)"),
        (HEAD.replace("forecast.inputs", "marts.x") + RULE, "`table` must be a raw table"),
        (HEAD + RULE.replace("name: positive", "name: Is positive!"), "`name` must be lower-case words"),
        (HEAD + RULE.replace("name: positive", "name: verdict"), "`name` must be lower-case words"),
        (HEAD + RULE.replace("{name", "{severity: error, name"), "'severity' stands twice"),
        (HEAD + "  - {name: x, rule: [\n", "inputs.yml line "),
        (ruled("expect_column_value_to_be_null"), "did you mean 'expect_column_values_to_be_null'?"),
        (ruled("expect_column_values_to_match_regex"), "does not run on DuckDB; write `where:"),
        (HEAD + RULE.replace("reason", "colunm: x, reason"), "unknown key 'colunm'"),
        (QUARANTINE.replace("forecast.inputs", "raw_gong.call"), "belongs to forecast.inputs"),
        (ruled("expect_table_row_count_to_equal, value: 1", QUARANTINE), "names no row to quarantine"),
    ],
)  # fmt: skip
def test_a_wrong_suite_says_what_is_wrong(tmp_path, text, message):
    with pytest.raises(UserError) as caught:
        gate.load_suites(suites_in(tmp_path / "folder", text))
    assert message in str(caught.value) and "folder/inputs.yml" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("rule: expect_column_values_to_not_be_null, column: amuont", "no column 'amuont' (did you mean 'amount'?)"),
        ("rule: expect_column_values_to_not_be_null", "positive: "),
        ("rule: expect_column_values_to_not_be_null, column: amount, colour: red", "positive: "),
        ("where: amount <", "positive cannot be run: "),
    ],
)  # fmt: skip
def test_a_rule_that_does_not_fit_the_table_says_so(settings, tmp_path, rule, message):
    text = HEAD + RULE.replace("where: amount < 0", rule)
    with pytest.raises(UserError) as caught:
        judge(settings, folder=suites_in(tmp_path / "folder", text))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_two_files_for_one_table_are_refused(tmp_path):
    folder = suites_in(tmp_path / "folder", HEAD + RULE)
    (folder / "more.yml").write_text(HEAD + RULE)
    with pytest.raises(UserError, match=r"both guard forecast.inputs"):
        gate.load_suites(folder)


def test_a_quarantine_rule_must_say_which_deal(settings, tmp_path):
    text = HEAD + "  - {name: some, sql: select 1 as i from {batch}, severity: quarantine, reason: why}\n"
    text = text.replace("select 1 as i from {batch}", '"select 1 as i from {batch}"')
    with pytest.raises(UserError, match="must select opportunity_id"):
        judge(settings, folder=suites_in(tmp_path / "folder", text))
