-- One row per currency, kind of rate and stretch of time: what one unit is worth in the base currency. Rates told against another
-- currency are crossed through it, inverse rates turned round; where no rate is known there is no row, and never a guess of 1.
{%- set base = var('base_currency') %}

with quoted as (

    -- one unit of from_currency is rate units of to_currency
    select
        types.currency_code as from_currency,
        corporate.currency_code as to_currency,
        'plan' as rate_type,
        coalesce(types.valid_from_date, cast('1970-01-01' as date)) as valid_from_date,
        cast(null as date) as valid_to_date,
        cast(1 / nullif(types.conversion_rate, 0) as decimal(24, 14)) as rate,
        types._load_id, types._version
    from {{ ref('stg_salesforce__currency_types') }} as types
    cross join (select min(currency_code) as currency_code from {{ ref('stg_salesforce__currency_types') }} where _is_latest and is_corporate) as corporate
    where not types._is_deleted
    union all
    select
        rates.currency_code, corporate.currency_code, 'dated', rates.valid_from_date, rates.valid_to_date,
        cast(1 / nullif(rates.conversion_rate, 0) as decimal(24, 14)), rates._load_id, rates._version
    from {{ ref('stg_salesforce__dated_conversion_rates') }} as rates
    cross join (select min(currency_code) as currency_code from {{ ref('stg_salesforce__currency_types') }} where _is_latest and is_corporate) as corporate
    where not rates.is_deleted
    union all
    select from_currency, to_currency, rate_type, valid_from_date, null, rate, _load_id, _version
    from {{ ref('stg_files__currency_rates') }}
    where not is_deleted
    union all
    select upper(from_currency), upper(to_currency), lower(rate_type), valid_from_date, null, cast(rate as decimal(24, 14)), 9223372036854775807, 1
    from {{ ref('currency_rates') }}

),

both_ways as (

    select from_currency, to_currency, rate_type, valid_from_date, valid_to_date, rate, 0 as is_inverse, _load_id, _version
    from quoted
    where rate > 0 and from_currency <> to_currency
    union all
    select to_currency, from_currency, rate_type, valid_from_date, valid_to_date, cast(1 / rate as decimal(24, 14)), 1, _load_id, _version
    from quoted
    where rate > 0 and from_currency <> to_currency

),

one_a_day as (

    -- the newest told of several for one day; a rate told outright before one turned round
    select from_currency, to_currency, rate_type, valid_from_date, valid_to_date, rate
    from (
        select
            *,
            row_number() over (
                partition by from_currency, to_currency, rate_type, valid_from_date
                order by is_inverse, _load_id desc, _version desc
            ) as preference
        from both_ways
    ) as told
    where preference = 1

),

legs as (

    -- a rate holds until the next one of its pair, or until its own last day
    select
        from_currency, to_currency, rate_type, rate, valid_from_date,
        least(
            coalesce(valid_to_date, cast('9999-12-31' as date)),
            coalesce(lead(valid_from_date) over (partition by from_currency, to_currency, rate_type order by valid_from_date), cast('9999-12-31' as date))
        ) as valid_to_date
    from one_a_day

),

direct as (

    select from_currency as currency_code, rate_type, rate as rate_to_base, valid_from_date, valid_to_date
    from legs
    where to_currency = '{{ base }}'

),

crossed as (

    select
        first_leg.from_currency as currency_code,
        first_leg.rate_type,
        cast(cast(first_leg.rate as double) * cast(second_leg.rate as double) as decimal(24, 14)) as rate_to_base,
        greatest(first_leg.valid_from_date, second_leg.valid_from_date) as valid_from_date,
        least(first_leg.valid_to_date, second_leg.valid_to_date) as valid_to_date,
        first_leg.to_currency as through_currency
    from legs as first_leg
    inner join legs as second_leg
        on first_leg.to_currency = second_leg.from_currency
        and first_leg.rate_type = second_leg.rate_type
        and first_leg.valid_from_date < second_leg.valid_to_date
        and second_leg.valid_from_date < first_leg.valid_to_date
    where second_leg.to_currency = '{{ base }}' and first_leg.from_currency <> '{{ base }}' and first_leg.to_currency <> '{{ base }}'
        -- only for a currency and kind that is never told against the base
        and not exists (
            select 1 from direct
            where direct.currency_code = first_leg.from_currency and direct.rate_type = first_leg.rate_type
        )

),

through as (

    -- one way round where several currencies lead to the base
    select currency_code, rate_type, min(through_currency) as through_currency
    from crossed
    group by currency_code, rate_type

),

rates as (

    select currency_code, rate_type, valid_from_date, valid_to_date, rate_to_base from direct
    where currency_code <> '{{ base }}'
    union all
    select crossed.currency_code, crossed.rate_type, crossed.valid_from_date, crossed.valid_to_date, crossed.rate_to_base
    from crossed
    inner join through
        on crossed.currency_code = through.currency_code
        and crossed.rate_type = through.rate_type
        and crossed.through_currency = through.through_currency

)

select
    currency_code,
    rate_type,
    valid_from_date,
    nullif(valid_to_date, cast('9999-12-31' as date)) as valid_to_date,
    rate_to_base
from rates
where valid_from_date < valid_to_date
union all
select '{{ base }}', 'plan', cast('1900-01-01' as date), null, cast(1 as decimal(24, 14))
union all
select '{{ base }}', 'dated', cast('1900-01-01' as date), null, cast(1 as decimal(24, 14))
