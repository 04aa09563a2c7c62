-- Two records of one deal: the same account and the same first amount (at list price, where there is one), created within days of
-- each other. The later one is the exception, while both count, open or won. Only the deal just before is compared.

with firsts as (

    select
        s.opportunity_id,
        s.account_id,
        coalesce(s.list_amount, s.amount) as first_amount,
        d.created_at
    from {{ ref('fct_opportunity_states') }} as s
    inner join {{ ref('int_opportunities') }} as d on s.opportunity_id = d.opportunity_id
    where s.state_number = 1 and s.account_id is not null and coalesce(s.list_amount, s.amount) > 0 and not s.is_excluded

),

pairs as (

    select opportunity_id, first_opportunity_id
    from (
        select
            *,
            lag(opportunity_id) over (partition by account_id, first_amount order by created_at, opportunity_id) as first_opportunity_id,
            lag(created_at) over (partition by account_id, first_amount order by created_at, opportunity_id) as first_created_at
        from firsts
    ) as neighbours
    where {{ days_between(business_date('first_created_at'), business_date('created_at')) }} <= {{ rule_threshold('probable_duplicate') }}

)

select
    s.opportunity_id,
    greatest(s.valid_from_at, f.valid_from_at) as from_at,
    {{ earlier('s.valid_to_at', 'f.valid_to_at') }} as to_at,
    'looks like ' || f.opportunity_id as evidence
from pairs as p
inner join {{ ref('fct_opportunity_states') }} as s on p.opportunity_id = s.opportunity_id
inner join {{ ref('fct_opportunity_states') }} as f
    on p.first_opportunity_id = f.opportunity_id
    and f.valid_from_at < coalesce(s.valid_to_at, timestamp '9999-12-31 00:00:00')
    and s.valid_from_at < coalesce(f.valid_to_at, timestamp '9999-12-31 00:00:00')
where s.outcome <> 'lost' and {{ is_live('s') }}
    and f.outcome <> 'lost' and {{ is_live('f') }}
