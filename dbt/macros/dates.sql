{# Dates, weeks and months. Everything that differs between engines is dispatched; the rest is plain SQL. #}

{# The date in the business time zone of a UTC timestamp. #}
{% macro business_date(at) -%}
    {%- if var('business_timezone') == 'UTC' -%} cast({{ at }} as date)
    {%- else -%} {{ adapter.dispatch('business_date', 'sales_management')(at) }} {%- endif -%}
{%- endmacro %}
{% macro duckdb__business_date(at) -%}
    cast(timezone('{{ var("business_timezone") }}', timezone('UTC', {{ at }})) as date)
{%- endmacro %}
{% macro spark__business_date(at) -%}
    cast(from_utc_timestamp({{ at }}, '{{ var("business_timezone") }}') as date)
{%- endmacro %}

{# The UTC timestamp at which a business date begins. #}
{% macro start_of_business_date(day) -%}
    {%- if var('business_timezone') == 'UTC' -%} cast({{ day }} as timestamp)
    {%- else -%} {{ adapter.dispatch('start_of_business_date', 'sales_management')(day) }} {%- endif -%}
{%- endmacro %}
{% macro duckdb__start_of_business_date(day) -%}
    timezone('UTC', timezone('{{ var("business_timezone") }}', cast({{ day }} as timestamp)))
{%- endmacro %}
{% macro spark__start_of_business_date(day) -%}
    to_utc_timestamp(cast({{ day }} as timestamp), '{{ var("business_timezone") }}')
{%- endmacro %}

{# The first day of the week that holds a date; weeks start on the setting's ISO weekday. date_trunc gives Mondays everywhere. #}
{% macro week_start(day) -%}
    {%- set shift = var('week_start_day') - 1 -%}
    {%- if shift == 0 -%} cast(date_trunc('week', {{ day }}) as date)
    {%- else -%} {{ plus_days("cast(date_trunc('week', " ~ plus_days(day, -shift) ~ ") as date)", shift) }} {%- endif -%}
{%- endmacro %}

{% macro plus_days(day, days) -%} cast({{ dbt.dateadd('day', days, day) }} as date) {%- endmacro %}
{% macro plus_months(day, months) -%} cast({{ dbt.dateadd('month', months, day) }} as date) {%- endmacro %}

{# Whole days from a to b, negative when b is earlier. #}
{% macro days_between(a, b) -%} cast({{ dbt.datediff(a, b, 'day') }} as integer) {%- endmacro %}

{# A date as a whole number that grows by one a day. #}
{% macro day_number(day) -%} {{ days_between("date '1970-01-01'", day) }} {%- endmacro %}

{# Whole weeks between the weeks of two dates. #}
{% macro weeks_between(a, b) -%} cast({{ days_between(week_start(a), week_start(b)) }} / 7 as integer) {%- endmacro %}

{# Which week of a quarter a week is: from 1, negative before the quarter, the week just before it being -1. #}
{% macro week_of_quarter(week_start_date, quarter_start_date) -%}
    case
        when {{ week_start_date }} >= {{ week_start(quarter_start_date) }} then {{ weeks_between(quarter_start_date, week_start_date) }} + 1
        else {{ weeks_between(quarter_start_date, week_start_date) }}
    end
{%- endmacro %}

{# Calendar months between two dates, days of the month ignored. #}
{% macro months_between(a, b) -%}
    cast((extract(year from {{ b }}) - extract(year from {{ a }})) * 12 + extract(month from {{ b }}) - extract(month from {{ a }}) as integer)
{%- endmacro %}

{# Days with fractions between two timestamps, decimal(18,4). #}
{% macro elapsed_days(a, b) -%} {{ adapter.dispatch('elapsed_days', 'sales_management')(a, b) }} {%- endmacro %}
{% macro duckdb__elapsed_days(a, b) -%} cast((epoch({{ b }}) - epoch({{ a }})) / 86400.0 as decimal(18, 4)) {%- endmacro %}
{% macro spark__elapsed_days(a, b) -%} cast((cast({{ b }} as double) - cast({{ a }} as double)) / 86400.0 as decimal(18, 4)) {%- endmacro %}

{# A table expression with one column, date_day: every day from start to end, both included. Arguments are SQL date expressions. #}
{% macro date_rows(start_day, end_day) -%} {{ adapter.dispatch('date_rows', 'sales_management')(start_day, end_day) }} {%- endmacro %}
{% macro duckdb__date_rows(start_day, end_day) -%}
    (select cast(unnest(generate_series(cast({{ start_day }} as timestamp), cast({{ end_day }} as timestamp), interval 1 day)) as date) as date_day)
{%- endmacro %}
{% macro spark__date_rows(start_day, end_day) -%}
    (select explode(sequence({{ start_day }}, {{ end_day }}, interval 1 day)) as date_day)
{%- endmacro %}

{# The whole numbers from 0 to n, one column, number. #}
{% macro number_rows(n) -%} {{ adapter.dispatch('number_rows', 'sales_management')(n) }} {%- endmacro %}
{% macro duckdb__number_rows(n) -%} (select cast(range as integer) as number from range(0, {{ n }} + 1)) {%- endmacro %}
{% macro spark__number_rows(n) -%} (select cast(id as int) as number from range(0, {{ n }} + 1)) {%- endmacro %}

{# ISO weekday, 1 = Monday, worked out from the week's Monday because engines number weekdays differently. #}
{% macro iso_weekday(day) -%} ({{ days_between("cast(date_trunc('week', " ~ day ~ ") as date)", day) }} + 1) {%- endmacro %}

{#
    Whether what a row says held on a day, for a part of a period (both open where null), or at an instant: from its beginning,
    and before its end, which null leaves open.
    Plain comparisons, because an `or` in an outer join makes engines compare every row with every other.
#}
{% macro holds_on(row, day) -%}
    {{ row }}.valid_from_date <= {{ day }} and {{ day }} < coalesce({{ row }}.valid_to_date, date '9999-12-31')
{%- endmacro %}
{% macro holds_between(row, from_day, to_day) -%}
    {{ row }}.valid_from_date < coalesce({{ to_day }}, date '9999-12-31')
    and {{ from_day }} < coalesce({{ row }}.valid_to_date, date '9999-12-31')
{%- endmacro %}
{% macro holds_at(row, instant) -%}
    {{ row }}.valid_from_at <= {{ instant }} and {{ instant }} < coalesce({{ row }}.valid_to_at, timestamp '9999-12-31 00:00:00')
{%- endmacro %}
{# Whether a state stood when a lock was taken: it began before that instant and was not replaced before it. #}
{% macro stands_at(row, lock) -%}
    {{ row }}.valid_from_at < {{ lock }} and {{ lock }} <= coalesce({{ row }}.valid_to_at, timestamp '9999-12-31 00:00:00')
{%- endmacro %}
