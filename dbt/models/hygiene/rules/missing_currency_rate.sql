-- No rate turns the deal's amount into base currency, so it counts 0: while open on a day without a rate for open deals, once won
-- where the booking date has none.

with rates as (

    select currency_code, rate_to_base, valid_from_date, valid_to_date
    from {{ ref('int_valuation_rates') }}

),

open_deals as (

    -- a currency nobody ever told a rate of has no row at all
    select
        s.opportunity_id,
        s.currency_code,
        greatest(s.valid_from_at, coalesce({{ start_of_business_date('r.valid_from_date') }}, s.valid_from_at)) as from_at,
        {{ earlier('s.valid_to_at', start_of_business_date('r.valid_to_date')) }} as to_at
    from {{ ref('fct_opportunity_states') }} as s
    left join rates as r
        on s.currency_code = r.currency_code
        and {{ start_of_business_date('r.valid_from_date') }} < coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00')
        and coalesce({{ start_of_business_date('r.valid_to_date') }}, timestamp '9999-12-31 00:00:00') > s.valid_from_at
    where s.outcome = 'open' and {{ is_live('s') }}
        and s.currency_code <> '{{ var("base_currency") }}'
        and r.rate_to_base is null

),

won_deals as (

    select s.opportunity_id, s.currency_code, s.valid_from_at as from_at, s.valid_to_at as to_at
    from {{ ref('fct_opportunity_states') }} as s
    left join {{ ref('int_currency_rates') }} as d
        on s.currency_code = d.currency_code and d.rate_type = 'dated' and {{ holds_on('d', 's.booking_date') }}
    left join rates as r
        on s.currency_code = r.currency_code and {{ holds_on('r', 's.booking_date') }}
    where s.outcome = 'won' and {{ is_live('s') }}
        and s.currency_code <> '{{ var("base_currency") }}'
        and coalesce(d.rate_to_base, r.rate_to_base) is null

)

select opportunity_id, from_at, to_at, 'no rate for ' || currency_code as evidence from open_deals
union all
select opportunity_id, from_at, to_at, 'no rate for ' || currency_code from won_deals
