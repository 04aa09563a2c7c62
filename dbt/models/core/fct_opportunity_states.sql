-- One row per deal and interval between two changes: what the record said, and when the warehouse could know it.
-- Built from the change stream alone, never from today's record, so editing a deal now changes nothing in its past.

select * from {{ opportunity_states(ref('int_opportunity_changes'), 'opportunity_id') }} as states
