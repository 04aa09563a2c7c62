{# The vocabularies of activities. #}

{# How a call ended: connected, no_answer, voicemail or in the system's own words; null where nothing is said. #}
{% macro call_outcome_of(name) -%}
    case
        when lower({{ name }}) like '%connect%' and lower({{ name }}) not like '%not%' then 'connected'
        when lower({{ name }}) like '%voice%' then 'voicemail'
        when lower({{ name }}) like '%no answer%' or lower({{ name }}) = 'no_answer' then 'no_answer'
        else nullif(replace(lower(trim({{ name }})), ' ', '_'), '')
    end
{%- endmacro %}

{# How a meeting ended: completed, no_show, canceled, scheduled, rescheduled or in the system's own words. #}
{% macro meeting_outcome_of(name) -%}
    case
        when lower({{ name }}) in ('completed', 'complete', 'held', 'done') then 'completed'
        when lower({{ name }}) like 'no%show' then 'no_show'
        when lower({{ name }}) like 'cancel%' then 'canceled'
        else nullif(replace(lower(trim({{ name }})), ' ', '_'), '')
    end
{%- endmacro %}

{# Which way an e-mail logged as a task went: mail tools mark what came in in the subject line; everything else was sent. #}
{% macro email_direction_of(subject) -%}
    case
        when lower({{ subject }}) like '%[in]%' or lower({{ subject }}) like 'email: re%' or lower({{ subject }}) like 'email: <<%' then 'inbound'
        else 'outbound'
    end
{%- endmacro %}

{# Minutes from one instant to another, decimal(18,2). #}
{% macro minutes_between(a, b) -%} cast({{ dbt.datediff(a, b, 'second') }} / 60.0 as decimal(18, 2)) {%- endmacro %}

{# The kinds of activity that count as effort; a task is a note to oneself. #}
{% macro activity_types() %}{{ return(['call', 'meeting', 'demo', 'email']) }}{% endmacro %}
{% macro is_effort(activity) -%} {{ activity }}.is_completed and {{ activity }}.type in ('{{ activity_types() | join("', '") }}') {%- endmacro %}

{# Somebody on the other side took part in it, or wrote it; an e-mail sent out becomes two-way only by its answer. #}
{% macro is_two_way_by_itself(activity) -%}
    (
        {{ activity }}.type in ('meeting', 'demo')
        or ({{ activity }}.type = 'call' and coalesce({{ activity }}.outcome = 'connected', false))
        or ({{ activity }}.type = 'email' and coalesce({{ activity }}.direction = 'inbound', false))
    )
{%- endmacro %}
