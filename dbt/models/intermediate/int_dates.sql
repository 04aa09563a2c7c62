-- One row per calendar day, with the company's weeks and fiscal periods.
-- Far past and far future are in it because CRMs hold close dates a century off.

with days as (

    select date_day from {{ date_rows("date '1990-01-01'", "date '2150-12-31'") }} as d

),

years as (

    -- nominal fiscal years: the first day, by calendar month or by the nearest week start (4-4-5)
    select
        first_day,
        {% if var('fiscal_calendar') == '445' -%}
        {{ week_start(plus_days('first_day', 3)) }} as year_start_date,
        {{ week_start(plus_days(plus_months('first_day', 12), 3)) }} as next_year_start_date,
        {%- else -%}
        first_day as year_start_date,
        {{ plus_months('first_day', 12) }} as next_year_start_date,
        {%- endif %}
        cast(extract(year from {% if var('fiscal_year_named_by') == 'end' %}{{ plus_days(plus_months('first_day', 12), -1) }}{% else %}first_day{% endif %}) as integer) as fiscal_year
    from (
        select date_day as first_day
        from days
        where extract(month from date_day) = {{ var('fiscal_year_start_month') }} and extract(day from date_day) = 1
    ) as firsts

),

periods as (

    select
        d.date_day,
        y.fiscal_year,
        y.year_start_date,
        y.next_year_start_date,
        {% if var('fiscal_calendar') == '445' -%}
        {%- set week -%} cast(floor({{ days_between('y.year_start_date', 'd.date_day') }} / 7) as integer) {%- endset %}
        least(cast(floor({{ week }} / 13) as integer), 3) as quarter_index,
        -- within a quarter weeks 0-3, 4-7, 8-12; a 53rd week stays in the last month
        case
            when {{ week }} - 13 * least(cast(floor({{ week }} / 13) as integer), 3) < 4 then 0
            when {{ week }} - 13 * least(cast(floor({{ week }} / 13) as integer), 3) < 8 then 1
            else 2
        end as month_index
        {%- else -%}
        cast(floor({{ months_between('y.year_start_date', 'd.date_day') }} / 3) as integer) as quarter_index,
        {{ months_between('y.year_start_date', 'd.date_day') }} % 3 as month_index
        {%- endif %}
    from days as d
    inner join years as y on d.date_day >= y.year_start_date and d.date_day < y.next_year_start_date

),

starts as (

    select
        *,
        min(date_day) over (partition by fiscal_year, quarter_index) as quarter_start_date,
        max(date_day) over (partition by fiscal_year, quarter_index) as quarter_end_date,
        min(date_day) over (partition by fiscal_year, quarter_index, month_index) as month_start_date,
        'FY' || cast(fiscal_year as varchar) || '-Q' || cast(quarter_index + 1 as varchar) as fiscal_quarter,
        {{ week_start('date_day') }} as week_start_date,
        {{ plus_days(week_start('date_day'), 6) }} as week_end_date,
        {{ iso_weekday('date_day') }} as iso_weekday
    from periods

)

select
    d.date_day,
    d.week_start_date,
    d.week_end_date,
    d.month_start_date,
    d.fiscal_year,
    d.year_start_date as fiscal_year_start_date,
    d.fiscal_quarter,
    d.quarter_start_date,
    d.quarter_end_date,
    e.fiscal_quarter as week_fiscal_quarter,
    e.quarter_start_date as week_quarter_start_date,
    cast({{ days_between(week_start('e.quarter_start_date'), 'd.week_start_date') }} / 7 as integer) + 1 as week_of_quarter,
    d.iso_weekday <= 5 and h.holiday_date is null as is_working_day
from starts as d
inner join starts as e on d.week_end_date = e.date_day
left join (select distinct cast(date as date) as holiday_date from {{ ref('holidays') }}) as h on d.date_day = h.holiday_date
