-- One row per rep and period with one team and segment, without gaps: before the first assignment the first one holds,
-- after leaving the last one does, so that a deal's bucket never falls out of its team because the owner is gone.

with assignments as (

    select
        rep_id,
        coalesce(team, 'unassigned') as team,
        coalesce(segment, 'unassigned') as segment,
        valid_from_date,
        lag(coalesce(team, 'unassigned')) over (partition by rep_id order by valid_from_date) as team_before,
        lag(coalesce(segment, 'unassigned')) over (partition by rep_id order by valid_from_date) as segment_before
    from {{ ref('int_rep_assignments') }}

),

changes as (

    select * from assignments
    where team_before is null or team <> team_before or segment <> segment_before

)

select
    rep_id,
    team,
    segment,
    case when team_before is null then date '1900-01-01' else valid_from_date end as valid_from_date,
    lead(valid_from_date) over (partition by rep_id order by valid_from_date) as valid_to_date
from changes
