-- One row per hygiene rule: those of the seed, and those whose file in models/hygiene/rules brings its own words.
{#- what is set for the folder of this name is not for this table #}
{{ config(materialized='table', schema='hygiene') }}

{%- set files = rule_models() %}

with listed as (

    select rule_id, sentence, severity, measure, comparison, threshold, unit, owner, coalesce(is_active, true) as is_active
    from {{ ref('hygiene_rules') }}

),

filed as (

    {% for file in files %}
    {%- set words = file.config.meta %}
    select
        '{{ file.name }}' as rule_id,
        {{ text_literal(words.get('sentence', file.name | replace('_', ' '))) }} as sentence,
        {{ text_literal(words.get('severity', 'warning')) }} as severity,
        cast({{ words.get('threshold', 'null') }} as decimal(18, 4)) as threshold,
        {{ text_literal(words.get('unit')) }} as unit,
        {{ text_literal(words.get('owner', 'sales operations')) }} as owner
    {{ 'union all' if not loop.last }}
    {%- else %}
    select rule_id, sentence, severity, threshold, unit, owner from listed where 1 = 0
    {%- endfor %}

),

rules as (

    select rule_id, sentence, severity, measure, comparison, threshold, unit, owner, is_active
    from listed
    union all
    select f.rule_id, f.sentence, f.severity, null, null, f.threshold, f.unit, f.owner, true
    from filed as f
    left join listed as l on f.rule_id = l.rule_id
    where l.rule_id is null

)

select
    rule_id,
    replace(sentence, '{threshold}', coalesce(rtrim(rtrim(cast(threshold as varchar), '0'), '.'), '')) as sentence,
    severity,
    measure,
    comparison,
    cast(threshold as decimal(18, 4)) as threshold,
    unit,
    owner,
    is_active
from rules
