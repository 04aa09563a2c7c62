"""Locks: what was known at a week's end is frozen once, whatever is learned, mended, missed or killed later."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dagster_project import gate, locks
from dagster_project.settings import UserError
from dagster_project.warehouse import connect, prepare
from tests.golden.company import EXPORTS, HERE, SETTINGS, replace_seeds
from tests.warehouse.company import Company

UP_TO_THE_GATE = (
    "--select", "+inputs", "+int_inputs_due", "+int_calls_due", "+int_progress_due", "+int_week_wins",
    "--exclude", "resource_type:test", "resource_type:unit_test",
    "resource_type:seed",
)  # fmt: skip
OF_LOCKS = (
    "--select", "int_locks_due", "int_deals_due", "int_evidence_due", "int_inputs_due", "int_calls_due",
    "int_progress_due", "int_week_wins", "inputs", "--exclude", "resource_type:test", "resource_type:unit_test",
)  # fmt: skip
TABLES = ("locks", "locked_inputs", "locked_calls", "locked_progress")
# When, by which run, and whether in time is the lock's own story.
STORY = ("locked_at", "run_id", "is_backfilled", "inputs_fingerprint")


class LockingCompany(Company):
    def lock(self, run_id: str = "test") -> locks.Frozen:
        gate.run_gate(self.settings.warehouse, gate.FORECAST_INPUTS, run_id)
        with connect(self.settings.warehouse) as connection:
            return locks.freeze(connection, run_id)

    def locked(self, table: str, of: str = "true") -> list[tuple]:
        story = ", ".join(name for name in STORY if name in self.columns(f"forecast.{table}"))
        without = f"exclude ({story})" if story else ""
        return self.query(f"select * {without} from forecast.{table} where {of} order by all")

    def columns(self, relation: str) -> list[str]:
        return [name for name, *_ in self.query(f"describe {relation}")]


def _continued(golden_company, folder: Path) -> LockingCompany:
    """The golden company after its last export, as built for all tests, in a file of its own."""
    company = LockingCompany(folder, SETTINGS, sources=("files",), files=HERE / "exports" / EXPORTS[-1])
    shutil.copy(golden_company.settings.warehouse, company.settings.warehouse)
    return company


@pytest.fixture(scope="module")
def in_time(golden_company, tmp_path_factory) -> LockingCompany:
    """The golden company, run after its first export and its last. `as_frozen`: what each run had frozen, by table."""
    first = LockingCompany(tmp_path_factory.mktemp("first"), SETTINGS, sources=("files",))
    first.build("--select", "resource_type:seed", files=HERE / "exports" / EXPORTS[0])
    replace_seeds(first)
    first.build(*UP_TO_THE_GATE)
    first.lock(EXPORTS[0])
    company = _continued(golden_company, tmp_path_factory.mktemp("in_time"))
    with connect(company.settings.warehouse) as connection:
        connection.execute(f"attach '{first.settings.warehouse}' as first (read_only)")
        for table in TABLES:
            connection.execute(f"insert into archive.{table} from first.archive.{table}")
        connection.execute("detach first")
    before = {table: company.query(f"from forecast.{table}") for table in TABLES}
    company.build(*OF_LOCKS)
    company.lock(EXPORTS[-1])
    company.as_frozen = [before, {table: company.query(f"from forecast.{table}") for table in TABLES}]
    return company


@pytest.fixture(scope="module")
def missed(golden_company, tmp_path_factory) -> LockingCompany:
    """The same company, whose first run comes after its last export: all locks but the newest were missed."""
    company = _continued(golden_company, tmp_path_factory.mktemp("missed"))
    company.build(*OF_LOCKS)
    company.frozen = company.lock("late")
    return company


@pytest.fixture
def copy(missed, tmp_path) -> Path:
    return Path(shutil.copy(missed.settings.warehouse, tmp_path / "warehouse.duckdb"))


def archived(path: Path) -> dict[str, list[tuple]]:
    with connect(path, read_only=True) as connection:
        return {table: connection.execute(f"from archive.{table} order by all").fetchall() for table in TABLES}


def start_anew(path: Path) -> None:
    """As if no lock had ever been taken."""
    with connect(path) as connection:
        for table in TABLES:
            connection.execute(f"delete from archive.{table}")


def test_the_first_run_takes_every_lock_there_ever_was_and_says_which_were_missed(missed):
    weeks = missed.query("select lock_date from intermediate.int_locks where not is_settlement order by 1")
    assert missed.frozen.lock_dates == tuple(day for (day,) in weeks) and len(weeks) > 10
    assert missed.frozen.backfilled == len(weeks) - 1
    newest = missed.query("select lock_date from forecast.locks where not is_backfilled")
    assert newest == missed.query("select lock_date from intermediate.int_as_of")


def test_a_missed_lock_is_the_lock_that_would_have_been_taken(missed, in_time):
    for table in TABLES:
        assert missed.columns(f"forecast.{table}") == in_time.columns(f"forecast.{table}")
        assert missed.locked(table) == in_time.locked(table), table


def test_a_later_run_restates_no_lock(in_time):
    before, after = in_time.as_frozen
    for table in TABLES:
        assert set(before[table]) <= set(after[table]), table
    assert 0 < len(before["locks"]) < len(after["locks"])


def test_what_was_learned_after_a_lock_is_not_in_it(in_time):
    # G07 was won on 14 February, which the export of the 19th tells: on the 16th nobody knew
    deals = in_time.query("select outcome from core.fct_opportunities where opportunity_id like '%G07'")
    assert deals == [("won",)]
    locked = in_time.query(
        "select stage from forecast.locked_inputs where opportunity_id like '%G07' and lock_date = date '2025-02-16'"
    )
    assert locked == [("Offer",)]


def test_the_same_lock_is_frozen_once(copy):
    before = archived(copy)
    with connect(copy) as connection:
        frozen = locks.freeze(connection, "again")
    assert (frozen.lock_dates, set(frozen.rows.values())) == ((), {0})
    assert archived(copy) == before


@pytest.mark.parametrize("step", range(4))
def test_a_run_killed_while_it_freezes_leaves_no_lock_half_taken(copy, monkeypatch, step):
    whole = archived(copy)
    start_anew(copy)
    done, added = [], locks._added

    def dies(connection, insert, values=None):
        if len(done) == step:
            raise KeyboardInterrupt
        done.append(added(connection, insert, values))
        return done[-1]

    monkeypatch.setattr(locks, "_added", dies)
    with connect(copy) as connection, pytest.raises(KeyboardInterrupt):
        locks.freeze(connection, "killed")
    assert not any(archived(copy).values())
    monkeypatch.undo()
    with connect(copy) as connection:
        locks.freeze(connection, "late")
    for table in TABLES[1:]:
        assert archived(copy)[table] == whole[table]


def test_nothing_is_frozen_that_the_gate_has_not_passed(copy):
    start_anew(copy)
    with connect(copy) as connection:
        connection.execute("update forecast.inputs set amount_base = amount_base + 1")
        with pytest.raises(UserError, match="changed after the gate passed"):
            locks.freeze(connection, "unjudged")
    assert not any(archived(copy).values())


def test_a_deal_in_quarantine_is_frozen_as_held_out_in_missed_locks_too(copy, tmp_path):
    start_anew(copy)
    suite = tmp_path / "suites"
    suite.mkdir()
    (suite / "inputs.yml").write_text(
        "table: forecast.inputs\nkey: [opportunity_id]\nowner: Ops\nrules:\n"
        "  - {name: no_offer, where: stage = 'Offer', severity: quarantine, reason: why}\n"
        "  - {name: not_large, where: amount > 50000, severity: quarantine, reason: why}\n"
        "  - {name: shown, where: amount > 0, severity: warning, reason: why}\n"
    )
    with connect(copy) as connection:
        locks.freeze(connection, "test", suite)
        wrong = connection.execute(
            """
            select count(*) from forecast.locked_inputs
            where held_out_by is distinct from nullif(concat_ws(', ',
                case when stage = 'Offer' then 'no_offer' end, case when amount > 50000 then 'not_large' end), '')
            or is_held_out <> (held_out_by is not null)
            """
        ).fetchone()
        kinds = connection.execute(
            "select count(distinct held_out_by), count(distinct lock_date) from forecast.locked_inputs where is_held_out"
        ).fetchone()
    assert wrong == (0,) and kinds[0] >= 2 and kinds[1] > 1


def test_a_warehouse_never_shows_another_companys_locks(copy):
    with connect(copy) as connection:
        [(locked,)] = connection.execute("select count(*) from forecast.locks").fetchall()
        connection.execute("update ops.active_sources set system = 'another'")
        assert connection.execute("select count(*) from forecast.locks").fetchall() == [(0,)]
        connection.execute("update ops.active_sources set system = 'golden'")
        assert connection.execute("select count(*) from forecast.locks").fetchall() == [(locked,)]


def test_a_column_that_inputs_gain_is_null_in_the_locks_before(copy, monkeypatch):
    from dagster_project import dbt_build

    contract = dbt_build.contract
    monkeypatch.setattr(dbt_build, "contract", lambda *model: contract(*model) | {"mood": "varchar"})
    before = archived(copy)["locked_inputs"]
    with connect(copy) as connection:
        prepare(connection)
        assert connection.execute("select count(*), count(mood) from forecast.locked_inputs").fetchone() == (
            len(before), 0,
        )  # fmt: skip


def test_every_lock_is_what_its_stamp_says(missed):
    changed = missed.query(
        """
        select l.lock_date from forecast.locks as l
        left join (select lock_date, count(*) as n, sum(amount_base) as a from forecast.locked_inputs group by all) as d
          using (lock_date)
        where l.deal_count <> coalesce(n, 0) or l.open_amount <> coalesce(a, 0)
          or l.inputs_fingerprint not like '%:' || l.deal_count
        """
    )
    assert changed == []


# --- last, because it builds the company again


def test_building_everything_anew_touches_no_lock(missed):
    before = archived(missed.settings.warehouse)
    inputs = missed.query("from forecast.inputs order by all")
    missed.build(*OF_LOCKS, start_over=True)
    assert missed.lock("anew").lock_dates == ()
    assert archived(missed.settings.warehouse) == before
    assert missed.query("from forecast.inputs order by all") == inputs
    assert missed.one("select count(*) from intermediate.int_deals_due") == 0
