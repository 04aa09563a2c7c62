-- One row per deal, field and change that a system stamped itself, the field's first known value included.
-- Several changes at one instant are set a microsecond apart, in their order, so that no stage passed is lost; a value that repeats the
-- one before it is no change. Two changes whose values say that they happened the other way round change places.
{{ catch_up_by_deal() }}
{%- set fields = opportunity_fields() %}
{%- set snapshot_fields = snapshot_fields() %}

with deals as (

    select opportunity_id, source_system, source_opportunity_id, created_at
    from {{ ref('int_opportunities') }}
    where {{ is_built_now('opportunity_id') }}

),

snapshots as (

    select
        deals.opportunity_id,
        history.history_id,
        history.changed_at as stamped_at,
        greatest(history.changed_at, deals.created_at) as changed_at,
        {{ learned_at('history.changed_at') }} as learned_at,
        {%- for field in snapshot_fields %}
        history.{{ field }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('stg_salesforce__opportunity_history') }} as history
    inner join deals on history.source_opportunity_id = deals.source_opportunity_id and deals.source_system = 'salesforce'

),

simultaneous as (

    -- instants are grouped before they are ordered: hardly any holds several snapshots
    select
        snapshots.history_id,
        row_number() over (partition by snapshots.opportunity_id, snapshots.changed_at order by snapshots.stamped_at, snapshots.history_id) - 1 as place
    from snapshots
    inner join (
        select opportunity_id, changed_at
        from snapshots
        group by opportunity_id, changed_at
        having count(*) > 1
    ) as instants on snapshots.opportunity_id = instants.opportunity_id and snapshots.changed_at = instants.changed_at

),

apart as (

    select
        snapshots.opportunity_id,
        case when simultaneous.place > 0 then {{ dbt.dateadd('microsecond', 'simultaneous.place', 'snapshots.changed_at') }} else snapshots.changed_at end as changed_at,
        snapshots.learned_at,
        {%- for field in snapshot_fields %}
        snapshots.{{ field }}{{ ',' if not loop.last }}
        {%- endfor %}
    from snapshots
    left join simultaneous on snapshots.history_id = simultaneous.history_id

),

ordered_snapshots as (

    select
        *,
        cast(row_number() over (partition by opportunity_id order by changed_at) as integer) as change_order,
        {%- for field in snapshot_fields %}
        lag({{ field }}) over (partition by opportunity_id order by changed_at) as previous_{{ field }}{{ ',' if not loop.last }}
        {%- endfor %}
    from apart

),

snapshot_changes as (

    {%- for field in snapshot_fields %}
    select
        opportunity_id,
        '{{ field }}' as field,
        cast({{ field }} as varchar) as value,
        cast(null as varchar) as old_value,
        change_order = 1 as is_first,
        true as is_snapshot,
        changed_at,
        learned_at,
        change_order
    from ordered_snapshots
    where change_order = 1 or {{ field }} is distinct from previous_{{ field }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}

),

told as (

    select
        deals.opportunity_id,
        names.field,
        history.old_value,
        history.new_value,
        deals.source_system,
        history.changed_at as stamped_at,
        greatest(history.changed_at, deals.created_at) as changed_at,
        {{ learned_at('history.changed_at') }} as learned_at,
        history.history_id as tie_break
    from {{ ref('stg_salesforce__opportunity_field_history') }} as history
    inner join {{ ref('opportunity_fields') }} as names on lower(history.source_field) = names.source_field and names.source_system = 'salesforce'
    inner join deals on history.source_opportunity_id = deals.source_opportunity_id and deals.source_system = 'salesforce'
    union all
    select
        deals.opportunity_id,
        names.field,
        null,
        history.new_value,
        deals.source_system,
        history.changed_at,
        greatest(history.changed_at, deals.created_at),
        {{ learned_at('history.changed_at') }},
        history.new_value
    from {{ ref('stg_hubspot__deal_property_history') }} as history
    inner join {{ ref('opportunity_fields') }} as names on lower(history.source_field) = names.source_field and names.source_system = 'hubspot'
    inner join deals on history.source_opportunity_id = deals.source_opportunity_id and deals.source_system = 'hubspot'
    union all
    select
        deals.opportunity_id,
        history.field,
        history.old_value,
        history.new_value,
        deals.source_system,
        history.changed_at,
        greatest(history.changed_at, deals.created_at),
        {{ learned_at('history.changed_at') }},
        history.new_value
    from {{ ref('stg_files__opportunity_history') }} as history
    inner join deals on history.source_opportunity_id = deals.source_opportunity_id and history.source_system = deals.source_system
    where history.field in ({% for field in fields %}'{{ field }}'{{ ', ' if not loop.last }}{% endfor %})

),

snapshot_deals as (

    select distinct opportunity_id from ordered_snapshots

),

read as (

    select
        told.opportunity_id,
        told.field,
        told.stamped_at,
        told.changed_at,
        told.learned_at,
        told.tie_break,
        told.source_system <> 'hubspot' as tells_old_values,
        {%- for side, name in {'new': 'value', 'old': 'old_value'}.items() %}
        {%- set value = 'told.' ~ side ~ '_value' %}
        case told.field
            {%- for field, type in fields.items() %}
            {%- if field == 'owner_id' %}
            when 'owner_id' then {{ side }}_owners.rep_id
            {%- elif field == 'account_id' %}
            when 'account_id' then {{ side }}_accounts.account_id
            {%- elif field == 'merged_into_id' %}
            when 'merged_into_id' then coalesce({{ side }}_deals.opportunity_id, {{ value }})
            {%- elif field == 'pipeline' %}
            when 'pipeline' then case told.source_system when 'hubspot' then 'hubspot/' || {{ value }} else {{ value }} end
            {%- elif field == 'currency_code' %}
            when 'currency_code' then upper(trim({{ value }}))
            {%- elif field == 'forecast_category' %}
            when 'forecast_category' then {{ forecast_category(value) }}
            {%- elif field == 'probability' %}
            when 'probability' then cast(cast({{ safe_cast(value, 'decimal(9, 4)') }} / systems.told_probability_scale as decimal(9, 4)) as varchar)
            {%- elif field == 'close_date' %}
            when 'close_date' then cast(case told.source_system when 'hubspot' then {{ business_date(instant_of_text(value)) }} else {{ date_of_text(value) }} end as varchar)
            {%- else %}
            when '{{ field }}' then {{ canonical_text(value, type) }}
            {%- endif %}
            {%- endfor %}
        end as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    from told
    inner join {{ ref('int_opportunity_systems') }} as systems on told.source_system = systems.source_system
    left join snapshot_deals on told.opportunity_id = snapshot_deals.opportunity_id
    {%- for value in ['new', 'old'] %}
    left join {{ ref('int_users_matched') }} as {{ value }}_owners
        on told.source_system = {{ value }}_owners.source_system
        and case when told.field = 'owner_id' then case told.source_system when 'hubspot' then 'hubspot-' || told.{{ value }}_value else told.{{ value }}_value end end = {{ value }}_owners.source_user_id
    left join {{ ref('int_accounts_matched') }} as {{ value }}_accounts
        on told.source_system = {{ value }}_accounts.source_system
        and case when told.field = 'account_id' then told.{{ value }}_value end = {{ value }}_accounts.source_account_id
    left join {{ ref('int_opportunities_matched') }} as {{ value }}_deals
        on told.source_system = {{ value }}_deals.source_system
        and case when told.field = 'merged_into_id' then told.{{ value }}_value end = {{ value }}_deals.source_opportunity_id
    {%- endfor %}
    -- a lookup's history is written twice, once with names: only the rows with ids are read
    where (told.field <> 'owner_id' or new_owners.rep_id is not null or old_owners.rep_id is not null or coalesce(told.new_value, '') = '')
        and (told.field <> 'account_id' or new_accounts.account_id is not null or old_accounts.account_id is not null)
        and (snapshot_deals.opportunity_id is null or told.field not in ({% for field in snapshot_fields %}'{{ field }}'{{ ', ' if not loop.last }}{% endfor %}))

),

{%- set by_stamp = 'over (partition by opportunity_id, field order by stamped_at, tie_break)' %}

neighbours as (

    -- only a history that tells old values can show that its stamps are out of order
    select
        *,
        lag(value, 2) {{ by_stamp }} as value_two_before,
        lag(value) {{ by_stamp }} as value_before,
        lag(old_value) {{ by_stamp }} as old_value_before,
        lag(stamped_at) {{ by_stamp }} as stamped_at_before,
        lag(changed_at) {{ by_stamp }} as changed_at_before,
        lead(value) {{ by_stamp }} as value_after,
        lead(old_value) {{ by_stamp }} as old_value_after,
        lead(stamped_at) {{ by_stamp }} as stamped_at_after,
        lead(changed_at) {{ by_stamp }} as changed_at_after
    from read
    where tells_old_values

),

judged as (

    -- the next change starts from what stood before this one and ends where this one starts: it came first
    select
        *,
        value_after = old_value and old_value_after is not distinct from value_before and old_value is distinct from value_before as is_too_early,
        value = old_value_before and old_value is not distinct from value_two_before and old_value_before is distinct from value_two_before as is_too_late
    from neighbours

),

mended as (

    select
        opportunity_id, field, value, old_value, learned_at, tie_break,
        case when is_too_early then stamped_at_after when is_too_late then stamped_at_before else stamped_at end as stamped_at,
        case when is_too_early then changed_at_after when is_too_late then changed_at_before else changed_at end as changed_at,
        case when is_too_early then 1 else 0 end as is_later
    from judged
    union all
    select opportunity_id, field, value, old_value, learned_at, tie_break, stamped_at, changed_at, 0
    from read
    where not tells_old_values

),

crowded as (

    select opportunity_id, field, changed_at
    from mended
    group by opportunity_id, field, changed_at
    having count(*) > 1

),

standing as (

    select mended.opportunity_id, mended.field, mended.value, mended.old_value, mended.learned_at, mended.changed_at
    from mended
    left join crowded
        on mended.opportunity_id = crowded.opportunity_id and mended.field = crowded.field and mended.changed_at = crowded.changed_at
    where crowded.opportunity_id is null
    union all
    select opportunity_id, field, value, old_value, learned_at, {{ dbt.dateadd('microsecond', 'place', 'changed_at') }}
    from (
        select
            mended.*,
            row_number() over (
                partition by mended.opportunity_id, mended.field, mended.changed_at
                order by mended.stamped_at, mended.is_later, mended.tie_break
            ) - 1 as place
        from mended
        inner join crowded
            on mended.opportunity_id = crowded.opportunity_id and mended.field = crowded.field and mended.changed_at = crowded.changed_at
    ) as placed

),

told_changes as (

    select
        opportunity_id,
        field,
        value,
        old_value,
        change_order = 1 as is_first,
        false as is_snapshot,
        changed_at,
        learned_at,
        change_order
    from (
        select
            *,
            cast(row_number() over (partition by opportunity_id, field order by changed_at) as integer) as change_order,
            lag(value) over (partition by opportunity_id, field order by changed_at) as previous_value
        from standing
    ) as numbered
    where change_order = 1 or value is distinct from previous_value

)

select * from snapshot_changes
union all
select * from told_changes
