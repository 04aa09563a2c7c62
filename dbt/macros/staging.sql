{#
    What staging reads, and the vocabularies it translates into. Only versions of accepted loads of the sources switched on are
    seen; a version that a correction replaced never was.
#}

{#
    The loads staging may read of one raw table: load_id, and first_extracted_at, the extract time of the source's first load
    (null for a table that the first load did not carry). A replacement stands where the first load stood.
#}
{% macro readable_loads(source_name, table_name) -%}
    (
        select
            load_id,
            min(case when load_id = first_load_id or kind = 'replacement' then first_extracted_at end) over (partition by origin, system) as first_extracted_at
        from (
            select
                loads.load_id,
                loads.origin,
                loads.system,
                loads.table_name,
                loads.kind,
                loads.first_extracted_at,
                min(loads.load_id) over (partition by loads.origin, loads.system) as first_load_id
            from {{ source(source_name, 'loads') }} as loads
            inner join {{ source('ops', 'active_sources') }} as active
                on loads.origin = active.origin and loads.system = active.system
            where loads.status = 'accepted'
        ) as accepted_loads
        where table_name = '{{ table_name }}'
    )
{%- endmacro %}

{# A query: the accepted loads of a source that is switched on, a row each. #}
{% macro accepted_loads(source_name) -%}
    select
        loads.load_id,
        loads.origin,
        loads.system,
        min(loads.first_extracted_at) as first_extracted_at,
        max(loads.extracted_at) as last_extracted_at,
        max(loads.loaded_at) as loaded_at
    from {{ source(source_name, 'loads') }} as loads
    inner join {{ source('ops', 'active_sources') }} as active
        on loads.origin = active.origin and loads.system = active.system
    where loads.status = 'accepted'
    group by loads.load_id, loads.origin, loads.system
{%- endmacro %}

{# The rows of a raw table in readable loads. #}
{% macro readable_rows(source_name, table_name) -%}
    from {{ source(source_name, table_name) }} as raw
    inner join {{ readable_loads(source_name, table_name) }} as readable_loads on raw._load_id = readable_loads.load_id
{%- endmacro %}

{# Known by as_of, or from the source's first load, whose history reaches back before it. #}
{% macro is_known_by_as_of() -%}
    (raw._extracted_at <= {{ as_of_limit() }} or raw._extracted_at <= readable_loads.first_extracted_at)
{%- endmacro %}

{# The instant after which nothing is known; the end of time where no as_of is set. #}
{% macro as_of_limit() -%} cast('{{ var("as_of") or "9999-12-31" }}' as timestamp) {%- endmacro %}

{#
    A table expression: every readable version of each record, less those a correction replaced; of a record that a correction
    withdrew, nothing up to the withdrawal. `key` lists the key columns.
    Adds _is_latest, _first_extracted_at (of the record's first version) and _is_from_first_load (of this version). A correction
    keeps the extract time of what it replaced, so these need no sort; only records with a correction are put in order.
#}
{% macro all_versions(source_name, table_name, key) -%}
    (
        select
            raw.*,
            spans.first_extracted_at as _first_extracted_at,
            raw._extracted_at = spans.last_extracted_at as _is_latest,
            coalesce(raw._extracted_at <= readable_loads.first_extracted_at, false) as _is_from_first_load
        {{ readable_rows(source_name, table_name) }}
        inner join (
            select {{ columns_of('raw', key) }}, min(raw._extracted_at) as first_extracted_at, max(raw._extracted_at) as last_extracted_at
            {{ readable_rows(source_name, table_name) }}
            where {{ is_known_by_as_of() }}
            group by {{ columns_of('raw', key) }}
        ) as spans on {{ same_record('raw', 'spans', key) }}
        left join (
            select *
            from (
                select
                    {{ columns_of('raw', key) }},
                    raw._load_id,
                    raw._version,
                    coalesce(lead(raw._is_correction) over (partition by {{ columns_of('raw', key) }} order by raw._load_id, raw._version), false) as is_replaced,
                    max(case when raw._is_deleted and raw._is_correction then 1 else 0 end) over (
                        partition by {{ columns_of('raw', key) }} order by raw._load_id, raw._version
                        rows between current row and unbounded following
                    ) = 1 as is_withdrawn
                {{ readable_rows(source_name, table_name) }}
                inner join (
                    select distinct {{ columns_of('raw', key) }} from {{ source(source_name, table_name) }} as raw where raw._is_correction
                ) as corrected on {{ same_record('raw', 'corrected', key) }}
                where {{ is_known_by_as_of() }}
            ) as ordered_versions
            where is_replaced or is_withdrawn
        ) as dropped on raw._load_id = dropped._load_id and raw._version = dropped._version and {{ same_record('raw', 'dropped', key) }}
        where {{ is_known_by_as_of() }} and dropped._load_id is null
    )
{%- endmacro %}

{#
    A table expression: the newest readable version of each record, kept when deleted (`_is_deleted`) but not when a correction
    withdrew it. `key` lists the key columns. Adds _first_extracted_at and _is_from_first_load (of the record's first version).
    Nothing is sorted: versions count from 1, so only keys with a version beyond it, few in the large tables, are looked up.
#}
{% macro latest_versions(source_name, table_name, key) -%}
    {{ newest_versions(source_name, table_name, key, "coalesce(beginnings.first_extracted_at, raw._extracted_at)") }}
{%- endmacro %}

{# The same for tables nobody asks since when a record is known: without _first_extracted_at and _is_from_first_load. #}
{% macro newest_versions(source_name, table_name, key, first_extracted_at=none) -%}
    {%- set revised -%}
        {{ readable_rows(source_name, table_name) }}
        where raw._version > 1 and {{ is_known_by_as_of() }}
        group by {{ columns_of('raw', key) }}
    {%- endset -%}
    (
        select
            {%- if first_extracted_at %}
            {{ first_extracted_at }} as _first_extracted_at,
            coalesce({{ first_extracted_at }} <= readable_loads.first_extracted_at, false) as _is_from_first_load,
            {%- endif %}
            raw.*
        {{ readable_rows(source_name, table_name) }}
        left join (
            select {{ columns_of('raw', key) }}, max(raw._version) as last_version {{ revised }}
        ) as revised on {{ same_record('raw', 'revised', key) }}
        {%- if first_extracted_at %}
        left join (
            select {{ columns_of('raw', key) }}, min(raw._extracted_at) as first_extracted_at
            {{ readable_rows(source_name, table_name) }}
            inner join (select {{ columns_of('raw', key) }} {{ revised }}) as revised on {{ same_record('raw', 'revised', key) }}
            where {{ is_known_by_as_of() }}
            group by {{ columns_of('raw', key) }}
        ) as beginnings on {{ same_record('raw', 'beginnings', key) }}
        {%- endif %}
        where {{ is_known_by_as_of() }}
            and raw._version = coalesce(revised.last_version, raw._version)
            and not (raw._is_deleted and raw._is_correction)
    )
{%- endmacro %}

{% macro columns_of(relation, columns) -%} {{ relation }}.{{ columns | join(', ' ~ relation ~ '.') }} {%- endmacro %}

{# Equality of key columns; where a key has several, some may be null. #}
{% macro same_record(a, b, key) -%}
    {%- for column in key -%}
        {{ a }}.{{ column }} {{ 'is not distinct from' if key | length > 1 else '=' }} {{ b }}.{{ column }}{{ ' and ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# When the warehouse could know of a system-stamped change: in a source's first load at once, later with the load that brought it. #}
{% macro learned_at(changed_at) -%} case when _is_from_first_load then {{ changed_at }} else _first_extracted_at end {%- endmacro %}

{# An e-mail address as an identity; null where there is none. #}
{% macro email_of(email) -%} nullif(lower(trim({{ email }})), '') {%- endmacro %}

{# A company's domain from a web address or a bare domain: scheme, credentials, www., port, path and case dropped. #}
{% macro domain_of(address) -%}
    nullif(regexp_replace(regexp_replace(lower(trim({{ address }})), '^([a-z]+://)?([^/@]*@)?(www[.])?', ''), '[.]?([:/?#].*)?$', ''), '')
{%- endmacro %}

{# A forecast category as systems spell it. Closed is not a category; what "Most Likely" counts as is a setting. #}
{% macro forecast_category(name) -%}
    case replace(replace(replace(lower(trim({{ name }})), ' ', ''), '_', ''), '-', '')
        when 'commit' then 'commit'
        when 'forecast' then 'commit'
        when 'committed' then 'commit'
        when 'bestcase' then 'best_case'
        when 'upside' then 'best_case'
        when 'mostlikely' then '{{ var("most_likely_category") }}'
        when 'pipeline' then 'pipeline'
        when 'omitted' then 'omitted'
        when 'omit' then 'omitted'
        when 'notforecasted' then 'omitted'
    end
{%- endmacro %}

{# A deal's type: new, expansion or renewal; null where the name says none of them. #}
{% macro deal_type_of(name) -%}
    case
        when lower({{ name }}) like '%renew%' then 'renewal'
        when lower({{ name }}) like '%existing%' or lower({{ name }}) like '%expan%' or lower({{ name }}) like '%upsell%' or lower({{ name }}) like '%upgrade%' or lower({{ name }}) like '%cross%' then 'expansion'
        when lower({{ name }}) like '%new%' then 'new'
    end
{%- endmacro %}

{# A person's part in selling: rep, manager, sdr, se or other; null where nothing is said. #}
{% macro role_of(name) -%}
    case
        when lower(trim({{ name }})) in ('rep', 'manager', 'sdr', 'se', 'other') then lower(trim({{ name }}))
        when lower({{ name }}) like '%manager%' or lower({{ name }}) like '%director%' or lower({{ name }}) like '%vp%' then 'manager'
        when lower({{ name }}) like '%sdr%' or lower({{ name }}) like '%bdr%' or lower({{ name }}) like '%development%' then 'sdr'
        when lower({{ name }}) like '%engineer%' then 'se'
        when lower({{ name }}) like '%rep%' or lower({{ name }}) like '%account exec%' then 'rep'
        when trim({{ name }}) <> '' then 'other'
    end
{%- endmacro %}

{# Whether somebody is at work: active, leave or left; null where nothing is said. #}
{% macro employment_status_of(name) -%}
    case
        when lower({{ name }}) like '%leave%' then 'leave'
        when lower(trim({{ name }})) in ('left', 'terminated', 'inactive', 'departed') then 'left'
        when trim({{ name }}) <> '' then 'active'
    end
{%- endmacro %}

{# Whose deals a forecast call covers: own or team. #}
{% macro forecast_scope_of(name) -%} case when lower({{ name }}) like '%team%' or lower({{ name }}) like '%manager%' then 'team' else 'own' end {%- endmacro %}

{# What closed and won flags say of a deal or a stage: won, lost or open; null where they say nothing. #}
{% macro outcome_of(is_closed, is_won) -%}
    case
        when {{ is_won }} then 'won'
        when {{ is_closed }} then 'lost'
        when not ({{ is_closed }}) then 'open'
    end
{%- endmacro %}
