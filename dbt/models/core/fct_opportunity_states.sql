-- One row per deal and interval between two changes: what the record said, and when the warehouse could know it.
-- Built from the change stream alone, never from today's record, so editing a deal now changes nothing in its past.
{{ catch_up_by_deal() }}

with changes as (

    select * from {{ ref('int_opportunity_changes') }}
    where {{ is_built_now('opportunity_id') }}

)

select * from {{ opportunity_states('changes', 'opportunity_id') }} as states
