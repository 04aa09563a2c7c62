-- Protects rep_retention: the headcount at a quarter's end is counted on its own, so a departure or a move that went missing
-- shows here; and it is the next quarter's start.
select
    *
from (
    select
        *,
        lead(headcount_start) over (partition by level, level_id order by quarter_start_date) as next_headcount_start,
        lead(quarter_start_date) over (partition by level, level_id order by quarter_start_date) as next_quarter_start_date
    from {{ ref('rep_retention') }}
    where basis = 'quarter'
) as quarters
where headcount_start + joined_count + moved_in_count - left_count - moved_out_count <> headcount_end
    or left_count <> voluntary_left_count + involuntary_left_count + other_left_count
    or top_tier_left_count > left_count
    or retained_count < 0
    or (is_complete and next_quarter_start_date is not null and next_headcount_start <> headcount_end and exists (
        select 1
        from {{ ref('dim_dates') }} as d
        where d.date_day = {{ plus_days('quarters.quarter_start_date', 1) }}
            and {{ plus_days('d.quarter_end_date', 1) }} = quarters.next_quarter_start_date
    ))
