-- One row per deal told late, lock and interval between two changes: the states as they were known at the lock.

with known as (

    select c.*, t.lock_at
    from {{ ref('int_opportunity_changes') }} as c
    inner join {{ ref('int_opportunities_told_late') }} as t
        on c.opportunity_id = t.opportunity_id and c.changed_at < t.lock_at and c.learned_at < t.lock_at

)

select * from {{ opportunity_states('known', 'opportunity_id, lock_at') }} as states
