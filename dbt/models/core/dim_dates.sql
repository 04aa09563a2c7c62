-- One row per calendar day, with the company's weeks and fiscal periods.

select
    date_day,
    week_start_date,
    week_end_date,
    month_start_date,
    fiscal_year,
    fiscal_year_start_date,
    fiscal_quarter,
    quarter_start_date,
    quarter_end_date,
    week_fiscal_quarter,
    week_quarter_start_date,
    week_of_quarter,
    is_working_day
from {{ ref('int_dates') }}
