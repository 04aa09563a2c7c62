"""What the model reads: every open deal at every lock as it was frozen there, how it ended, and each person's sums.

Fields whose history is not there (`reconstructed_fields`) are read as unknown; deals the gate held out are not read.
Not here: what is made of it.
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb
import numpy as np
import pandas as pd

STATUSES = ("champion", "economic_buyer", "budget", "timeline", "next_step", "competition")

# Won in a quarter, as known when it settled.
_WON = """
    select c.opportunity_id, c.quarter_start_date, c.amount_base
    from core.fct_closings as c
    inner join core.fct_opportunity_states as s
        on c.opportunity_id = s.opportunity_id and c.recorded_at = s.valid_from_at
    inner join intermediate.int_locks as q on c.quarter_start_date = q.quarter_start_date and q.is_settlement
    where c.period_type = 'quarter' and c.outcome = 'won' and c.recorded_at < q.lock_at and s.learned_at < q.lock_at
"""

# How deals ended, for all locks: won in a quarter, and each time a deal was over.
_OUTCOMES = f"""
create or replace temp table won_deals as {_WON};
create or replace temp table deal_ends as
select
    opportunity_id,
    valid_from_at,
    greatest(valid_from_at, learned_at) as known_at,
    outcome = 'won' and not is_deleted and merged_into_id is null as is_won
from core.fct_opportunity_states
where outcome <> 'open' or is_deleted or merged_into_id is not null;
"""

# One row a deal that was open at a lock. The last columns say what came of it, and when that was known: for training.
_DEAL_LOCKS = f"""
select
    i.opportunity_id,
    i.lock_date,
    l.lock_at,
    i.quarter_start_date,
    i.source_system || '/' || i.pipeline || '/' || i.stage as stage,
    i.stage as stage_name,
    coalesce(i.stage_order, -1) as stage_order,
    coalesce(i.rep_id, 'unassigned') as rep_id,
    i.team,
    i.segment,
    case
        when coalesce(i.reconstructed_fields, '') not like '%amount%'
            and coalesce(i.reconstructed_fields, '') not like '%currency_code%'
            then cast(i.amount_base as double)
    end as amount_base,
    cast(i.amount_base as double) as stated_amount_base,
    cast(i.amount_change_30d as double) / nullif(cast(i.amount_base as double), 0) as amount_change_share,
    i.days_to_close,
    case when coalesce(i.reconstructed_fields, '') not like '%forecast_category%'
        then i.forecast_category end as forecast_category,
    i.supported_category,
    cast(i.probability as double) as probability,
    i.days_left_in_quarter,
    i.days_open,
    i.days_in_stage,
    i.push_count,
    i.slip_count,
    i.activity_count_30d,
    i.two_way_count_30d,
    i.meeting_count_30d,
    i.days_since_two_way,
    i.contact_count,
    date_diff('day', i.lock_date, i.next_step_date) as days_to_next_step,
    date_diff('day', i.lock_date, i.decision_timeline) as days_to_decision,
    {", ".join(f"i.{fact}_status" for fact in STATUSES)},
    i.verified_count,
    hash(i.opportunity_id) / 18446744073709551616 as draw,
    w.opportunity_id is not null as is_won_in_quarter,
    cast(w.amount_base as double) as won_amount_base,
    o.valid_from_at as over_at,
    o.known_at as over_known_at,
    o.is_won
from forecast.locked_inputs as i
inner join forecast.locks as l on i.lock_date = l.lock_date
left join won_deals as w on i.opportunity_id = w.opportunity_id and i.quarter_start_date = w.quarter_start_date
asof left join deal_ends as o on i.opportunity_id = o.opportunity_id and l.lock_at <= o.valid_from_at
where i.quarter_start_date = $quarter and not i.is_held_out
    and (list_contains($due, i.lock_date) or draw <= $share)
order by i.lock_date, i.opportunity_id
"""


def read_locks(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every lock that was taken, in order, with when its quarter settles (NaT where it has not) and how many
    quarters had by then."""
    locks = connection.execute(
        """
        select l.*, s.lock_at as settled_at
        from forecast.locks as l
        left join intermediate.int_locks as s on l.quarter_start_date = s.quarter_start_date and s.is_settlement
        order by l.lock_at
        """
    ).df()
    settlements = np.sort(locks["settled_at"].dropna().unique())
    return locks.assign(settled_count=np.searchsorted(settlements, locks["lock_at"].to_numpy(), side="right"))


def find_outcomes(connection: duckdb.DuckDBPyConnection) -> None:
    """Work out how deals ended, which `deals_of_quarter` reads, in temporary tables."""
    connection.execute(_OUTCOMES)


def rows_by_quarter(connection: duckdb.DuckDBPyConnection) -> pd.Series:
    """How many rows of deals at locks each quarter has."""
    query = "select quarter_start_date, count(*) as rows from forecast.locked_inputs group by 1 order by 1"
    return connection.execute(query).df().set_index("quarter_start_date")["rows"]


def deals_of_quarter(
    connection: duckdb.DuckDBPyConnection, quarter_start_date: pd.Timestamp, due: Collection, share: float
) -> pd.DataFrame:
    """One row an open deal and lock of a quarter, in order of both: every deal of the locks that are due, and this
    share of the deals (0 to 1) at the others. `draw`: a number from 0 to 1 that the hash of a deal's id gives it, the
    same at each of its locks and in every run; a share are the deals whose number is not above it."""
    dates = [pd.Timestamp(day).date() for day in due]
    rows = connection.execute(_DEAL_LOCKS, {"quarter": quarter_start_date, "due": dates, "share": share})
    return rows.to_arrow_table().to_pandas(date_as_object=False)  # without a Python string a cell, as df() makes


def open_wins(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """By lock and owner then: what of the open deals was won by the quarter's end."""
    return connection.execute(
        f"""
        select
            i.lock_date, coalesce(i.rep_id, 'unassigned') as rep_id, i.team, i.segment,
            cast(sum(w.amount_base) as double) as open_won_amount,
            cast(count(w.amount_base) as double) as open_won_count
        from forecast.locked_inputs as i
        inner join ({_WON}) as w on i.opportunity_id = w.opportunity_id and i.quarter_start_date = w.quarter_start_date
        where not i.is_held_out
        group by all
        order by all
        """
    ).df()


def closings(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every close of a rep's deal in the order in which it became known: what a rep's past win rate is read from."""
    return connection.execute(
        """
        select c.rep_id, c.outcome = 'won' as is_won, greatest(c.recorded_at, s.learned_at) as known_at
        from core.fct_closings as c
        inner join core.fct_opportunity_states as s
            on c.opportunity_id = s.opportunity_id and c.recorded_at = s.valid_from_at
        where c.period_type = 'quarter'
        order by known_at, c.opportunity_id
        """
    ).df()


def people(connection: duckdb.DuckDBPyConnection, lock_dates: Collection | None = None) -> pd.DataFrame:
    """One row a lock (all, or those of these dates) and person on the job or with an amount: their call, what they had
    won, what they opened of late."""
    return connection.execute(
        """
        with locks as (
            select * from forecast.locks where $dates is null or list_contains($dates, lock_date)
        ),
        opened as (
            select opportunity_id, rep_id, greatest(valid_from_at, learned_at) as known_at
            from core.fct_opportunity_states
            where state_number = 1 and not is_excluded
        ),
        on_the_job as (
            select
                l.lock_date, r.rep_id,
                least(date_diff('day', max(r.spell_start_date), l.lock_date) + 1, 91) as days_on_job
            from locks as l
            inner join core.dim_reps as r
                on r.valid_from_date <= l.lock_date and l.lock_date < coalesce(r.valid_to_date, date '9999-12-31')
            where r.status <> 'left' and coalesce(r.role, 'rep') = 'rep'
            group by l.lock_date, r.rep_id
        ),
        gone as (
            select rep_id, min(valid_from_date) as left_date from core.dim_reps where status = 'left' group by rep_id
        ),
        fresh as (
            select l.lock_date, o.rep_id, count(*) as opened_count
            from locks as l
            inner join opened as o on o.known_at < l.lock_at and o.known_at >= l.lock_at - interval 91 day
            group by l.lock_date, o.rep_id
        ),
        here as (
            select
                coalesce(j.lock_date, f.lock_date) as lock_date,
                coalesce(j.rep_id, f.rep_id) as rep_id,
                -- where nothing is known of when people came, whoever opens deals is there
                coalesce(
                    j.days_on_job, case when g.rep_id is null or g.left_date > f.lock_date then 91 else 0 end
                ) as days_on_job,
                coalesce(f.opened_count, 0) as opened_count
            from on_the_job as j
            full join fresh as f on j.lock_date = f.lock_date and j.rep_id = f.rep_id
            left join gone as g on f.rep_id = g.rep_id
        ),
        amounts as (
            select
                lock_date, rep_id, team, segment, cast(commit_amount_base as double) as call_amount,
                0 as won_amount, 0 as won_count, 0 as days_on_job, 0 as opened_count
            from forecast.locked_calls semi join locks using (lock_date)
            where scope = 'own'
            union all
            select lock_date, rep_id, team, segment, null, cast(won_amount as double), won_count, 0, 0
            from forecast.locked_progress semi join locks using (lock_date)
            where won_count > 0 or won_amount <> 0
            union all
            select
                h.lock_date, h.rep_id, coalesce(a.team, 'unassigned'), coalesce(a.segment, 'unassigned'),
                null, 0, 0, h.days_on_job, h.opened_count
            from here as h
            left join intermediate.int_rep_attributes as a
                on h.rep_id = a.rep_id
                and a.valid_from_date <= h.lock_date and h.lock_date < coalesce(a.valid_to_date, date '9999-12-31')
            where h.days_on_job > 0
        )
        select
            lock_date, rep_id, team, segment, max(call_amount) as call_amount, sum(won_amount) as won_amount,
            sum(won_count) as won_count, max(days_on_job) as days_on_job, max(opened_count) as opened_count
        from amounts
        group by lock_date, rep_id, team, segment
        order by lock_date, rep_id, team, segment
        """,
        {"dates": None if lock_dates is None else [pd.Timestamp(day).date() for day in lock_dates]},
    ).df()


def actuals(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Won in a settled quarter, by the person, team and segment credited."""
    return connection.execute(
        """
        select
            quarter_start_date, rep_id, team, segment,
            cast(amount as double) as actual_amount, deal_count as actual_count
        from intermediate.int_forecasts_made
        where method = 'actual'
        order by quarter_start_date, rep_id, team, segment
        """
    ).df()
