-- One row per deal, field and interval of the past that was told differently before: a change that came to be known only
-- after the time it belongs to had already been loaded once. Nothing here is a mistake; it says which published weeks moved.


with loads as (

    -- every instant at which a source was read: its loads, and the simulated ones that one load may carry
    select raw_schema, extracted_at as loaded_at
    from {{ ref('int_load_instants') }}
    union
    select {{ raw_schema_of('o.source_system') }}, c.learned_at
    from {{ ref('int_opportunity_changes') }} as c
    inner join {{ ref('int_opportunities') }} as o on c.opportunity_id = o.opportunity_id
    where c.learned_at > c.changed_at

),

load_order as (

    select
        raw_schema,
        loaded_at,
        lag(loaded_at) over (partition by raw_schema order by loaded_at) as previous_loaded_at
    from loads

),

late as (

    select
        c.opportunity_id,
        c.field,
        c.value,
        c.changed_at,
        c.learned_at
    from {{ ref('int_opportunity_changes') }} as c
    inner join {{ ref('int_opportunities') }} as o on c.opportunity_id = o.opportunity_id
    inner join load_order as l on {{ raw_schema_of('o.source_system') }} = l.raw_schema and c.learned_at = l.loaded_at
    where c.changed_at <= l.previous_loaded_at

),

known as (

    -- what stood there before, and how far the new value reaches: by changes known no later than it
    select
        t.opportunity_id,
        t.field,
        t.value,
        t.changed_at,
        t.learned_at,
        c.value as other_value,
        c.changed_at as other_changed_at,
        row_number() over (
            partition by t.opportunity_id, t.field, t.changed_at, t.learned_at, c.changed_at <= t.changed_at and c.learned_at < t.learned_at
            order by c.changed_at desc
        ) as recency,
        c.changed_at <= t.changed_at and c.learned_at < t.learned_at as is_before,
        c.changed_at > t.changed_at as is_after
    from late as t
    left join {{ ref('int_opportunity_changes') }} as c
        on t.opportunity_id = c.opportunity_id
        and t.field = c.field
        and c.learned_at <= t.learned_at

),

told as (

    select
        opportunity_id,
        field,
        value,
        changed_at,
        learned_at,
        max(case when is_before and recency = 1 then other_value end) as old_value,
        min(case when is_after then other_changed_at end) as valid_to_at
    from known
    group by opportunity_id, field, value, changed_at, learned_at

)

select
    opportunity_id,
    field,
    changed_at as valid_from_at,
    valid_to_at,
    old_value,
    value as new_value,
    learned_at,
    {{ week_start(business_date('changed_at')) }} as first_week_start_date,
    {{ week_start(business_date('least(coalesce(valid_to_at, learned_at), learned_at)')) }} as last_week_start_date,
    {{ weeks_between(business_date('changed_at'), business_date('least(coalesce(valid_to_at, learned_at), learned_at)')) }} + 1 as weeks_touched_count
from told
where coalesce(old_value, '') <> coalesce(value, '')
