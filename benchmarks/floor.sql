-- The marts straight from the source files, as fast as one script of DuckDB's own SQL makes them. Settings are the defaults:
-- fiscal years from January, weeks from Monday, UTC, US dollars. Read with floor.py, which names the files raw_<source>.<table>.

create schema core;
create schema leading_indicators;
create schema lagging_indicators;
create schema hygiene;
create schema forecast;

-- The instant everything stands at.
create temp table instants as
select
    as_of_at,
    cast(as_of_at as date) as as_of_date,
    date_trunc('week', as_of_at + interval 1 second)::date - 1 as lock_date,
    date_trunc('week', as_of_at + interval 1 second)::timestamp as lock_at,
    least(history_starts_at, as_of_at) as history_starts_at
from (
    select (select max(_extracted_at) from read_parquet(getvariable('files'), union_by_name = true)) as as_of_at,
        (select min(created_at) from (
            select min(CreatedDate) as created_at from raw_salesforce.opportunity union all select min(createdate) from raw_hubspot.deal
        )) as history_starts_at
);

create temp macro domain_of(address) as nullif(regexp_replace(regexp_replace(lower(trim(address)), '^([a-z]+://)?([^/@]*@)?(www[.])?', ''), '[.]?([:/?#].*)?$', ''), '');

create temp macro email_of(email) as nullif(lower(trim(email)), '');

create temp macro category_of(name) as
case replace(replace(replace(lower(trim(name)), ' ', ''), '_', ''), '-', '')
    when 'commit' then 'commit' when 'forecast' then 'commit' when 'committed' then 'commit'
    when 'bestcase' then 'best_case' when 'upside' then 'best_case' when 'mostlikely' then 'best_case'
    when 'pipeline' then 'pipeline' when 'omitted' then 'omitted' when 'omit' then 'omitted' when 'notforecasted' then 'omitted'
end;

create temp macro deal_type_of(name) as
case
    when lower(name) like '%renew%' then 'renewal'
    when regexp_matches(lower(name), 'existing|expan|upsell|upgrade|cross') then 'expansion'
    when lower(name) like '%new%' then 'new'
end;

create temp macro days(a, b) as cast((epoch(b) - epoch(a)) / 86400.0 as decimal(18, 4));

-- Calendar.
create table core.dim_dates as
with days as (
    select
        date_day::date as date_day,
        date_trunc('week', date_day)::date as week_start_date,
        date_trunc('week', date_day)::date + 6 as week_end_date,
        date_trunc('month', date_day)::date as month_start_date,
        year(date_day)::integer as fiscal_year,
        date_trunc('year', date_day)::date as fiscal_year_start_date,
        'FY' || year(date_day) || '-Q' || quarter(date_day) as fiscal_quarter,
        date_trunc('quarter', date_day)::date as quarter_start_date,
        (date_trunc('quarter', date_day) + interval 3 months)::date - 1 as quarter_end_date
    from range(timestamp '1990-01-01', timestamp '2151-01-01', interval 1 day) as t(date_day)
)
select
    d.*,
    e.fiscal_quarter as week_fiscal_quarter,
    e.quarter_start_date as week_quarter_start_date,
    ((d.week_start_date - date_trunc('week', e.quarter_start_date)::date) / 7)::integer + 1 as week_of_quarter,
    isodow(d.date_day) <= 5 and d.date_day not in (select date from read_csv(getvariable('seeds') || '/holidays.csv', types = {'date': 'date'}) where date is not null) as is_working_day
from days as d inner join days as e on d.week_end_date = e.date_day;

-- People: one an e-mail, Salesforce leading.
create temp table user_versions as
select 'salesforce' as source_system, 1 as rank, Id as source_user_id, trim(Name) as user_name, email_of(Email) as email,
    case
        when lower(trim(SalesRole__c)) in ('rep', 'manager', 'sdr', 'se', 'other') then lower(trim(SalesRole__c))
        when regexp_matches(lower(SalesRole__c), 'manager|director|vp') then 'manager'
        when regexp_matches(lower(SalesRole__c), 'sdr|bdr|development') then 'sdr'
        when lower(SalesRole__c) like '%engineer%' then 'se'
        when regexp_matches(lower(SalesRole__c), 'rep|account exec') then 'rep'
        when trim(SalesRole__c) <> '' then 'other'
    end as role,
    trim(Team__c) as team, trim(Segment__c) as segment, trim(Region__c) as region, ManagerId as manager_id,
    coalesce(case
        when lower(EmploymentStatus__c) like '%leave%' then 'leave'
        when lower(trim(EmploymentStatus__c)) in ('left', 'terminated', 'inactive', 'departed') then 'left'
        when trim(EmploymentStatus__c) <> '' then 'active'
    end, if(IsActive = false, 'left', 'active')) as status,
    lower(trim(EndReason__c)) as end_reason,
    coalesce(StartDate__c, CreatedDate::date) as start_date, StartDate__c as hire_date, EndDate__c as end_date, StatusSince__c as status_since_date,
    coalesce(greatest(LastModifiedDate, SystemModstamp), _extracted_at)::date as modified_date,
    coalesce(StartDate__c::timestamp, CreatedDate) as started_at, _extracted_at
from raw_salesforce.user
union all
select 'hubspot', 3, 'hubspot-' || id, nullif(trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')), ''), email_of(email),
    null, trim(teamName), null, null, null, if(coalesce(archived, false), 'left', 'active'), null,
    createdAt::date, null, null, null, coalesce(updatedAt, _extracted_at)::date, createdAt, _extracted_at
from raw_hubspot.owner
union all
select 'gong', 4, 'gong-' || id, nullif(trim(coalesce(firstName, '') || ' ' || coalesce(lastName, '')), ''), email_of(emailAddress),
    null, null, null, null, 'gong-' || managerId, if(active = false, 'left', 'active'), null,
    created::date, null, null, null, _extracted_at::date, created, _extracted_at
from raw_gong.user;

create temp table users as
with named as (
    select distinct source_system, unnest([source_user_id]) as source_user_id from (
        select 'salesforce' as source_system, OwnerId as source_user_id from raw_salesforce.opportunity
        union all select 'hubspot', 'hubspot-' || hubspot_owner_id from raw_hubspot.deal
    )
),
newest as (select * from user_versions qualify row_number() over (partition by source_system, source_user_id order by _extracted_at desc) = 1),
managers as (select distinct source_system, manager_id as source_user_id from newest),
people as (
    select source_system, rank, source_user_id, email, user_name, role, started_at, true as is_user from newest
    union all
    select source_system, if(source_system = 'salesforce', 1, if(source_system = 'hubspot', 3, 4)), source_user_id, null, source_user_id, null, null, false
    from (select * from named union select * from managers) where source_user_id is not null
        and (source_system, source_user_id) not in (select (source_system, source_user_id) from newest)
)
select
    source_system, source_user_id, user_name, email, is_user, started_at,
    first_value(source_user_id) over person as rep_id,
    first_value(source_system) over person as leading_source_system,
    coalesce(role, case
        when (source_system, source_user_id) in (select (source_system, source_user_id) from managers where source_user_id is not null) then 'manager'
        when source_system not in ('salesforce', 'gong') or (source_system, source_user_id) in (select (source_system, source_user_id) from named where source_user_id is not null) then 'rep'
        else 'other'
    end) as default_role
from people
window person as (partition by coalesce(email, source_system || ':' || source_user_id) order by rank, started_at nulls last, source_user_id);

create temp table assignments as
with versions as (
    select
        v.*, u.rep_id, u.user_name as rep_name, u.email as rep_email, u.default_role, u.source_user_id = u.rep_id as is_leading_user,
        coalesce(v.start_date, n.history_starts_at::date, n.as_of_date) as began_date,
        row_number() over one as version_number,
        lag(v.status) over one as previous_status,
        lag(v.start_date) over one as previous_start_date,
        lead(v._extracted_at) over one is null as is_latest,
        case when v.status = 'left' then coalesce(v.end_date + 1, v.status_since_date, v.modified_date) end as left_date
    from (
        select * from user_versions
        union all by name
        select source_system, source_user_id, 'active' as status, timestamp '1970-01-01' as _extracted_at from users where not is_user
    ) as v
    inner join users as u on v.source_system = u.source_system and v.source_user_id = u.source_user_id and u.source_system = u.leading_source_system
    cross join instants as n
    window one as (partition by v.source_system, v.source_user_id order by v._extracted_at)
),
newest as (select * from versions where is_latest),
statuses as (
    select rep_id, source_user_id, began_date as from_date, 'active' as status, null as end_reason, 1 as precedence
    from versions where version_number = 1 or start_date <> previous_start_date
    union all
    select rep_id, source_user_id, coalesce(status_since_date, modified_date), status, null, 2
    from versions
    where status in ('active', 'leave') and status <> coalesce(previous_status, 'active') and coalesce(status_since_date, modified_date) >= began_date
    union all
    select rep_id, source_user_id, left_date, 'left', end_reason, 3
    from versions where left_date is not null and (version_number = 1 or previous_status <> 'left' or is_latest)
),
events as (
    select rep_id, from_date, max(attribute) as attribute, max(standing) as standing
    from (
        select rep_id, if(version_number = 1, began_date, modified_date) as from_date, null as standing,
            {'day': if(version_number = 1, began_date, modified_date), 'place': row_number() over (partition by rep_id order by _extracted_at),
             'role': coalesce(role, default_role), 'team': team, 'segment': segment, 'region': region, 'source_system': source_system, 'manager_id': manager_id} as attribute
        from versions
        where (version_number = 1 or left_date is null or modified_date < left_date) and (version_number = 1 or modified_date >= began_date)
        union all
        select rep_id, from_date, {'precedence': precedence, 'status': status, 'end_reason': end_reason}, null
        from statuses as s
        where status <> 'left' or not exists (
            select 1 from newest as other
            where other.rep_id = s.rep_id and other.source_user_id <> s.source_user_id and other.began_date <= s.from_date
                and (other.left_date is null or other.left_date > s.from_date)
        )
    )
    group by all
),
stretches as (
    select
        e.rep_id, e.from_date, e.standing.status as status, if(e.standing.status = 'left', e.standing.end_reason, null) as end_reason,
        e.attribute.role as role, e.attribute.team as team, e.attribute.segment as segment, e.attribute.region as region,
        coalesce(m.rep_id, e.attribute.manager_id) as manager_id
    from (
        select
            rep_id, from_date,
            coalesce(last_value(attribute ignore nulls) over life, first_value(attribute ignore nulls) over (partition by rep_id order by from_date rows between unbounded preceding and unbounded following)) as attribute,
            last_value(standing ignore nulls) over life as standing
        from events
        window life as (partition by rep_id order by from_date rows unbounded preceding)
    ) as e
    left join users as m on e.attribute.source_system = m.source_system and e.attribute.manager_id = m.source_user_id
    where e.standing is not null
),
spelled as (
    select
        *,
        greatest(sum(if(status <> 'left' and coalesce(status_before, 'left') = 'left', 1, 0)) over (partition by rep_id order by from_date rows unbounded preceding), 1) as spell_number
    from (
        select
            *,
            lag(status) over life as status_before,
            lag(from_date) over life is null
            or (status, end_reason, role, team, segment, region, manager_id) is distinct from lag((status, end_reason, role, team, segment, region, manager_id)) over life as is_change
        from stretches
        window life as (partition by rep_id order by from_date)
    )
)
select
    c.rep_id, p.rep_name, p.rep_email as email, c.spell_number::integer as spell_number, c.role, c.team, c.segment, c.region, c.manager_id, c.status, c.end_reason,
    c.from_date as valid_from_date,
    lead(c.from_date) over (partition by c.rep_id order by c.from_date) as valid_to_date,
    min(c.from_date) over spell as spell_start_date,
    (min(c.from_date) filter (c.status = 'left') over spell) - 1 as spell_end_date,
    coalesce(p.hire_date, min(c.from_date) over (partition by c.rep_id)) as hire_date
from (select * from spelled where is_change) as c
inner join (select rep_id, rep_name, rep_email, hire_date from newest where is_leading_user) as p on c.rep_id = p.rep_id
window spell as (partition by c.rep_id, c.spell_number);

create table core.dim_reps as
select
    rep_id || '/' || spell_number || '/' || valid_from_date as rep_assignment_id,
    rep_id, rep_name, email, spell_number, role, team, segment, region, manager_id, status, end_reason, hire_date, spell_start_date, spell_end_date,
    valid_from_date, valid_to_date,
    valid_from_date <= as_of_date and (valid_to_date is null or valid_to_date > as_of_date) as is_current
from assignments cross join instants;

-- Team and segment of a rep without gaps, before the first and after the last assignment too.
create temp table attributes as
select
    rep_id, team, segment,
    if(is_first, date '1900-01-01', valid_from_date) as valid_from_date,
    lead(valid_from_date) over (partition by rep_id order by valid_from_date) as valid_to_date
from (
    select
        rep_id, coalesce(team, 'unassigned') as team, coalesce(segment, 'unassigned') as segment, valid_from_date,
        lag(valid_from_date) over life is null as is_first,
        lag((coalesce(team, 'unassigned'), coalesce(segment, 'unassigned'))) over life as before
    from assignments
    window life as (partition by rep_id order by valid_from_date)
)
where is_first or before <> (team, segment);

-- Accounts: one a domain, Salesforce leading; merged ones stand as their survivor.
create temp table account_records as
select 'salesforce' as source_system, 1 as rank, Id as source_account_id, trim(Name) as account_name, domain_of(Website) as domain, Industry as industry,
    Segment__c as segment, Region__c as region, NumberOfEmployees as employee_count, OwnerId as source_user_id, ParentId as source_parent_id,
    MasterRecordId as merged_into_id, coalesce(IsDeleted, false) as is_deleted, CreatedDate as created_at
from raw_salesforce.account qualify row_number() over (partition by Id order by _extracted_at desc) = 1
union all
select 'hubspot', 3, 'hubspot-' || id, trim(name), domain_of(domain), industry, segment, region, numberofemployees, 'hubspot-' || hubspot_owner_id,
    'hubspot-' || hs_parent_company_id, 'hubspot-' || merged_into_id, coalesce(archived, false), createdate
from raw_hubspot.company qualify row_number() over (partition by id order by _extracted_at desc) = 1;

create temp table account_ids as
with recursive survivors as (
    select source_account_id as id, merged_into_id as survivor_id from account_records where merged_into_id <> source_account_id
    union all
    select s.id, r.merged_into_id from survivors as s inner join account_records as r on s.survivor_id = r.source_account_id where r.merged_into_id <> r.source_account_id
),
final as (select id, last(survivor_id) as survivor_id from survivors where survivor_id not in (select id from survivors) group by id),
standing as (
    select r.*, coalesce(f.survivor_id, r.source_account_id) as survivor_id
    from account_records as r left join final as f on r.source_account_id = f.id
),
shared as (select source_system, domain from standing where survivor_id = source_account_id and domain is not null group by all having count(*) > 5),
led as (
    select source_system, survivor_id, first_value(survivor_id) over (
        partition by coalesce(if(domain not in (select domain from shared), domain, null), source_system || ':' || survivor_id)
        order by is_deleted, rank, created_at nulls last, survivor_id
    ) as account_id
    from standing where survivor_id = source_account_id
)
select s.source_system, s.source_account_id, coalesce(l.account_id, s.survivor_id) as account_id
from standing as s left join led as l using (source_system, survivor_id);

create table core.dim_accounts as
select
    m.account_id, a.account_name, a.domain, a.industry, a.segment, a.region, a.employee_count, coalesce(u.rep_id, a.source_user_id) as rep_id,
    nullif(coalesce(p.account_id, a.source_parent_id), m.account_id) as parent_account_id, a.is_deleted, a.source_system, a.created_at
from account_records as a
inner join account_ids as m on a.source_system = m.source_system and a.source_account_id = m.source_account_id and m.account_id = m.source_account_id
left join account_ids as p on a.source_system = p.source_system and a.source_parent_id = p.source_account_id
left join users as u on a.source_system = u.source_system and a.source_user_id = u.source_user_id;

create temp table contact_ids as
select
    source_system, source_contact_id, email,
    first_value(source_contact_id) over (
        partition by coalesce(email, source_system || ':' || source_contact_id) order by is_deleted, rank, created_at nulls last, source_contact_id
    ) as contact_id
from (
    select 'salesforce' as source_system, 1 as rank, Id as source_contact_id, email_of(Email) as email, coalesce(IsDeleted, false) as is_deleted, CreatedDate as created_at
    from raw_salesforce.contact qualify row_number() over (partition by Id order by _extracted_at desc) = 1
    union all
    select 'hubspot', 3, 'hubspot-' || id, email_of(email), coalesce(archived, false), createdate
    from raw_hubspot.contact qualify row_number() over (partition by id order by _extracted_at desc) = 1
);

-- Stages, with the time each wording and order stood.
create table core.dim_stages as
with versions as (
    select
        *,
        row_number() over one as version_number,
        lag(_extracted_at) over one as previous_extracted_at
    from (
        select 'salesforce' as source_system, 'salesforce/default' as pipeline, trim(ApiName) as stage, trim(MasterLabel) as stage_label, SortOrder as stage_order,
            if(IsWon, 'won', if(IsClosed, 'lost', if(not IsClosed, 'open', null))) as outcome,
            cast(DefaultProbability / 100 as decimal(9, 4)) as default_probability, category_of(ForecastCategoryName) as default_forecast_category,
            greatest(LastModifiedDate, SystemModstamp) as modified_at, _extracted_at
        from raw_salesforce.opportunity_stage
        union all
        select 'hubspot', 'hubspot/' || pipeline_id, id, trim(label), displayOrder, if(probability >= 1, 'won', if(isClosed, 'lost', if(not isClosed, 'open', null))),
            probability, null, updatedAt, _extracted_at
        from raw_hubspot.deal_pipeline_stage
    )
    window one as (partition by source_system, pipeline, stage order by _extracted_at)
),
dated as (
    select *, case
        when version_number = 1 then timestamp '1970-01-01'
        when modified_at > previous_extracted_at and modified_at <= _extracted_at then modified_at
        else _extracted_at
    end as valid_from_at
    from versions
)
select
    source_system, pipeline, stage, stage_label, stage_order, coalesce(o.is_pipeline, outcome = 'open') as is_pipeline, outcome, default_probability, default_forecast_category, valid_from_at,
    lead(valid_from_at) over (partition by source_system, pipeline, stage order by valid_from_at) as valid_to_at,
    lead(valid_from_at) over (partition by source_system, pipeline, stage order by valid_from_at) is null as is_current
from dated left join read_csv(getvariable('seeds') || '/stages.csv') as o using (source_system, pipeline, stage);

-- Rates to the base currency; `rates` dated and plan, `open_rates` what an open deal is worth on a day.
create temp table rates as
with quoted as (
    select IsoCode as currency_code, 'plan' as rate_type, coalesce(StartDate, date '1970-01-01') as valid_from_date, null::date as valid_to_date, ConversionRate as rate, _extracted_at, IsCorporate as is_base
    from raw_salesforce.currency_type
    union all
    select IsoCode, 'dated', StartDate, NextStartDate, ConversionRate, _extracted_at, false
    from raw_salesforce.dated_conversion_rate qualify row_number() over (partition by Id order by _extracted_at desc) = 1
),
one_a_day as (
    select * from quoted
    where currency_code <> 'USD' and rate > 0
    qualify row_number() over (partition by currency_code, rate_type, valid_from_date order by _extracted_at desc) = 1
)
select * from (
    select
        currency_code, rate_type, valid_from_date,
        nullif(least(coalesce(valid_to_date, date '9999-12-31'), coalesce(lead(valid_from_date) over (partition by currency_code, rate_type order by valid_from_date), date '9999-12-31')), date '9999-12-31') as valid_to_date,
        cast(1 / nullif(rate, 0) as decimal(24, 14)) as rate_to_base
    from one_a_day
) where valid_to_date is null or valid_from_date < valid_to_date
union all
select 'USD', unnest(['plan', 'dated']), date '1900-01-01', null, 1.0::decimal(24, 14);

create temp table open_rates as
with days as (
    select c.currency_code, d.date_day, coalesce(p.rate_to_base, q.rate_to_base) as rate_to_base
    from (select distinct currency_code from rates) as c
    cross join (
        select date_day, quarter_start_date from core.dim_dates, instants
        where date_day between least((select min(valid_from_date) from rates), as_of_date - 3700) and as_of_date + 1
    ) as d
    left join rates as p on c.currency_code = p.currency_code and p.rate_type = 'plan' and d.date_day >= p.valid_from_date and d.date_day < coalesce(p.valid_to_date, 'infinity')
    left join rates as q on c.currency_code = q.currency_code and q.rate_type = 'dated' and d.quarter_start_date >= q.valid_from_date and d.quarter_start_date < coalesce(q.valid_to_date, 'infinity')
),
starts as (
    select *, lag(date_day) over one is null as is_first
    from days
    window one as (partition by currency_code order by date_day)
    qualify is_first or rate_to_base is distinct from lag(rate_to_base) over one
)
select currency_code, rate_to_base, if(is_first, date '1900-01-01', date_day) as valid_from_date, lead(date_day) over (partition by currency_code order by date_day) as valid_to_date
from starts;

-- Deals: every version of every record, and which deal it is; a HubSpot deal synced from Salesforce is Salesforce's.
create temp table deal_ids as
with salesforce as (select distinct Id as id from raw_salesforce.opportunity),
hubspot as (select id, nullif(trim(last(salesforce_opportunity_id order by _extracted_at)), '') as external_id from raw_hubspot.deal group by id)
select 'salesforce' as source_system, id as source_opportunity_id, id as opportunity_id, true as is_leading from salesforce
union all
select 'hubspot', 'hubspot-' || h.id, coalesce(s.id, t.id, 'hubspot-' || h.id), coalesce(s.id, t.id) is null
from hubspot as h
left join salesforce as s on h.external_id = s.id
left join (select min(id) as id, left(id, 15) as short from salesforce where length(id) = 18 group by short) as t on h.external_id = t.short;

create temp table hubspot_merges as
with recursive links as (
    select 'hubspot-' || merged_deal_id as id, 'hubspot-' || deal_id as into_id, merged_at, _extracted_at
    from raw_hubspot.merged_deal qualify row_number() over (partition by merged_deal_id order by _extracted_at desc) = 1
),
chains as (
    select id, into_id as survivor_id, merged_at, _extracted_at, 1 as step from links
    union all
    select c.id, l.into_id, c.merged_at, c._extracted_at, step + 1 from chains as c inner join links as l on c.survivor_id = l.id where step < 9
)
select id, arg_max(survivor_id, step) as survivor_id, any_value(merged_at) as merged_at, any_value(_extracted_at) as extracted_at from chains group by id;

create temp table versions as
with records as (
    select
        'salesforce' as source_system, Id as id, 'salesforce/default' as pipeline, trim(StageName) as stage, Amount as amount, ListAmount__c as list_amount,
        Discount__c::decimal(9, 4) as discount_rate, upper(trim(CurrencyIsoCode)) as currency_code, CloseDate as close_date, OwnerId as source_user_id,
        AccountId as source_account_id, category_of(ForecastCategoryName) as forecast_category, (Probability / 100)::decimal(9, 4) as probability,
        NextStep as next_step, NextStepDate__c as next_step_date, Champion__c as champion, EconomicBuyer__c as economic_buyer, BudgetConfirmed__c as budget_confirmed,
        DecisionTimeline__c as decision_timeline, Competitor__c as competitor, LossReason__c as loss_reason, coalesce(IsDeleted, false) as is_deleted,
        MergedIntoId__c as merged_into_id, IsClosed as is_closed, IsWon as is_won, CreatedDate as created_at, greatest(LastModifiedDate, SystemModstamp) as modified_at,
        trim(Name) as opportunity_name, deal_type_of(Type) as type, trim(LeadSource) as lead_source, CampaignId as campaign_id, trim(Product__c) as product,
        _extracted_at as extracted_at, _extracted_at <= (select min(_extracted_at) from raw_salesforce.opportunity) as is_from_first_load
    from raw_salesforce.opportunity
    union all
    select
        'hubspot', 'hubspot-' || id, 'hubspot/' || pipeline, dealstage, amount, list_amount, discount_rate, upper(trim(deal_currency_code)), closedate::date,
        'hubspot-' || hubspot_owner_id, null, category_of(hs_manual_forecast_category), hs_deal_stage_probability, hs_next_step, next_step_date, champion,
        economic_buyer, budget_confirmed, decision_timeline, competitor, closed_lost_reason, coalesce(archived, false), null, hs_is_closed, hs_is_closed_won,
        createdate, hs_lastmodifieddate, trim(dealname), deal_type_of(dealtype), trim(hs_analytics_source), hs_campaign, trim(product),
        _extracted_at, _extracted_at <= (select min(_extracted_at) from raw_hubspot.deal)
    from raw_hubspot.deal
),
companies as (
    select 'hubspot-' || deal_id as id, arg_min('hubspot-' || company_id, (not is_primary, company_id)) as source_account_id
    from (
        select deal_id, company_id, coalesce(is_primary, false) as is_primary from raw_hubspot.deal_company
        qualify row_number() over (partition by deal_id, company_id order by _extracted_at desc) = 1
    )
    group by deal_id
),
final_merges as (
    with recursive links as (
        select distinct id, merged_into_id as into_id from (
            select Id as id, last(MergedIntoId__c order by _extracted_at) as merged_into_id from raw_salesforce.opportunity group by Id
        ) where merged_into_id <> id
        union
        select 'hubspot-' || merged_deal_id, 'hubspot-' || deal_id from raw_hubspot.merged_deal
    ),
    chains as (
        select id, into_id, 1 as step from links
        union all
        select c.id, l.into_id, step + 1 from chains as c inner join links as l on c.into_id = l.id where step < 9
    )
    select id, arg_max(into_id, step) as survivor_id from chains group by id
)
select
    d.opportunity_id,
    r.* exclude (source_user_id, source_account_id, merged_into_id),
    coalesce(o.rep_id, r.source_user_id) as owner_id,
    coalesce(a.account_id, r.source_account_id, c.source_account_id) as account_id,
    if(r.merged_into_id is not null, coalesce(md.opportunity_id, m.survivor_id, r.merged_into_id), null) as merged_into_id,
    case
        when r.is_won then nullif('won', s.outcome)
        when r.is_closed = false then nullif('open', s.outcome)
        when r.is_closed and (r.is_won = false or coalesce(s.outcome, 'open') = 'open') then nullif('lost', s.outcome)
        when r.is_won = false and s.outcome = 'won' then 'open'
    end as outcome_flag,
    s.outcome as stage_outcome
from records as r
inner join deal_ids as d on r.id = d.source_opportunity_id and d.is_leading
left join companies as c on r.id = c.id
left join users as o on r.source_system = o.source_system and r.source_user_id = o.source_user_id
left join account_ids as a on r.source_system = a.source_system and coalesce(r.source_account_id, c.source_account_id) = a.source_account_id
left join final_merges as m on r.id = m.id
left join deal_ids as md on m.survivor_id = md.source_opportunity_id
left join core.dim_stages as s on r.source_system = s.source_system and r.pipeline = s.pipeline and r.stage = s.stage
    and r.extracted_at >= s.valid_from_at and r.extracted_at < coalesce(s.valid_to_at, 'infinity');

create temp table deals as
select
    v.opportunity_id, v.source_system, v.id, v.opportunity_name, v.pipeline, v.type, v.lead_source, v.campaign_id, v.product, v.account_id, v.modified_at,
    least(v.created_at, f.first_extracted_at) as created_at,
    x.opportunity_id is not null as is_excluded, x.reason as exclusion_reason,
    f.first_extracted_at <= l.extracted_at as is_from_first_load,
    if(f.first_extracted_at <= l.extracted_at, least(v.created_at, f.first_extracted_at), f.first_extracted_at) as learned_at
from versions as v
inner join (select opportunity_id, min(extracted_at) as first_extracted_at, max(extracted_at) as last_extracted_at from versions group by opportunity_id) as f
    on v.opportunity_id = f.opportunity_id and v.extracted_at = f.last_extracted_at
inner join (select source_system, min(extracted_at) as extracted_at from versions group by source_system) as l on v.source_system = l.source_system
left join (select opportunity_id, min(reason) as reason from read_csv(getvariable('seeds') || '/exclusions.csv') group by all) as x on v.opportunity_id = x.opportunity_id
where least(v.created_at, f.first_extracted_at) <= (select as_of_at from instants);

-- The fields whose history is kept, and how the systems name them in theirs.
set variable fields = [
    'pipeline', 'stage', 'amount', 'list_amount', 'discount_rate', 'currency_code', 'close_date', 'owner_id', 'account_id', 'forecast_category', 'probability',
    'next_step', 'next_step_date', 'champion', 'economic_buyer', 'budget_confirmed', 'decision_timeline', 'competitor', 'loss_reason', 'is_deleted',
    'merged_into_id', 'outcome_flag'
];

create temp table names as
from (values
    ('salesforce', 'owner', 'owner_id'), ('salesforce', 'currencyisocode', 'currency_code'), ('salesforce', 'nextstep', 'next_step'),
    ('salesforce', 'nextstepdate__c', 'next_step_date'), ('salesforce', 'champion__c', 'champion'), ('salesforce', 'economicbuyer__c', 'economic_buyer'),
    ('hubspot', 'dealstage', 'stage'), ('hubspot', 'amount', 'amount'), ('hubspot', 'closedate', 'close_date'), ('hubspot', 'hubspot_owner_id', 'owner_id')
) as t(source_system, source_field, field);

create temp macro text_of(field, source_system, text, rep_id) as
case field
    when 'owner_id' then rep_id
    when 'currency_code' then upper(trim(text))
    when 'amount' then try_cast(text as decimal(18, 2))::varchar
    when 'next_step_date' then try_cast(left(text, 10) as date)::varchar
    when 'close_date' then if(text like '%-%', try_cast(text as timestamp), epoch_ms(try_cast(text as bigint)))::date::varchar
    else nullif(text, '')
end;

-- What Salesforce stamped on whole snapshots; of several at one instant the last stands.
create temp table snapshots as
with stamped as (
    select
        d.opportunity_id, d.created_at, d.learned_at as deal_learned_at, h.Id as id, greatest(h.CreatedDate, d.created_at) as changed_at,
        if(coalesce(a.first_at, h._extracted_at) <= f.first_at, h.CreatedDate, coalesce(a.first_at, h._extracted_at)) as learned_at,
        trim(h.StageName) as stage, h.Amount as amount, (h.Probability / 100)::decimal(9, 4) as probability,
        category_of(h.ForecastCategory) as forecast_category, h.CloseDate as close_date
    from raw_salesforce.opportunity_history as h
    inner join deals as d on h.OpportunityId = d.id and d.source_system = 'salesforce'
    cross join (select min(_extracted_at) as first_at from raw_salesforce.opportunity_history) as f
    left join (select Id, min(_extracted_at) as first_at, max(_extracted_at) as last_at from raw_salesforce.opportunity_history group by Id having count(*) > 1) as a on h.Id = a.Id
    where a.Id is null or h._extracted_at = a.last_at
),
repeated as (select opportunity_id, changed_at, max(id) as id from stamped group by all having count(*) > 1)
select
    *,
    row_number() over one as change_order,
    lag(stage) over one as stage_before, lag(amount) over one as amount_before, lag(probability) over one as probability_before,
    lag(forecast_category) over one as forecast_category_before, lag(close_date) over one as close_date_before
from (
    from stamped anti join (select s.opportunity_id, s.changed_at, s.id from stamped as s inner join repeated as r using (opportunity_id, changed_at) where s.id <> r.id) using (opportunity_id, changed_at, id)
)
window one as (partition by opportunity_id order by changed_at);

create temp table stamped as
with told as (
    select d.opportunity_id, n.field, h.OldValue as old_text, h.NewValue as new_text, d.source_system, d.created_at, d.learned_at as deal_learned_at,
        greatest(h.CreatedDate, d.created_at) as changed_at, if(h._extracted_at <= f.first_at, h.CreatedDate, h._extracted_at) as learned_at, h.Id as tie_break
    from raw_salesforce.opportunity_field_history as h
    inner join names as n on lower(h.Field) = n.source_field and n.source_system = 'salesforce'
    inner join deals as d on h.OpportunityId = d.id and d.source_system = 'salesforce'
    cross join (select min(_extracted_at) as first_at from raw_salesforce.opportunity_field_history) as f
    union all
    select d.opportunity_id, n.field, null, h.value, d.source_system, d.created_at, d.learned_at,
        greatest(h.changed_at, d.created_at), if(h._extracted_at <= f.first_at, h.changed_at, h._extracted_at), h.value
    from raw_hubspot.deal_property_history as h
    inner join names as n on lower(h.property) = n.source_field and n.source_system = 'hubspot'
    inner join deals as d on 'hubspot-' || h.deal_id = d.id and d.source_system = 'hubspot'
    cross join (select min(_extracted_at) as first_at from raw_hubspot.deal_property_history) as f
),
read as (
    select
        t.*,
        text_of(t.field, t.source_system, t.new_text, n.rep_id) as value,
        text_of(t.field, t.source_system, t.old_text, o.rep_id) as old_value
    from told as t
    left join users as n on t.source_system = n.source_system and if(t.field = 'owner_id', if(t.source_system = 'hubspot', 'hubspot-' || t.new_text, t.new_text), null) = n.source_user_id
    left join users as o on t.source_system = o.source_system and if(t.field = 'owner_id', if(t.source_system = 'hubspot', 'hubspot-' || t.old_text, t.old_text), null) = o.source_user_id
    where (t.field <> 'owner_id' or n.rep_id is not null or o.rep_id is not null or coalesce(t.new_text, '') = '')
        and not (t.field in ('stage', 'amount', 'probability', 'forecast_category', 'close_date') and t.opportunity_id in (select opportunity_id from snapshots))
),
neighbours as (
    select *,
        lag(value) over one as value_before, lead(value) over one as value_after, lag(old_value) over one as old_value_before, lead(old_value) over one as old_value_after,
        lag(value, 2) over one as value_two_before, lag(changed_at) over one as changed_at_before, lead(changed_at) over one as changed_at_after
    from read
    window one as (partition by opportunity_id, field order by changed_at, tie_break)
),
mended as (
    select * replace (case when is_swapped_on then changed_at_after when is_swapped_back then changed_at_before else changed_at end as changed_at)
    from (
        select *,
            value_after = old_value and old_value_after is not distinct from value_before and old_value is distinct from value_before as is_swapped_on,
            value = old_value_before and old_value is not distinct from value_two_before and old_value_before is distinct from value_two_before as is_swapped_back
        from neighbours
    )
),
standing as (
    select * from mended
    qualify coalesce(lead(changed_at) over (partition by opportunity_id, field order by changed_at, coalesce(is_swapped_on, false), tie_break) > changed_at, true)
),
numbered as (
    select *, row_number() over one as change_order, lag(value) over one as previous_value
    from standing
    window one as (partition by opportunity_id, field order by changed_at)
)
select opportunity_id, field, value, old_value, change_order = 1 as is_first, changed_at, learned_at, change_order, created_at, deal_learned_at
from numbered
where change_order = 1 or value is distinct from previous_value;

create temp table covered as
select opportunity_id, field from stamped where is_first
union all
select opportunity_id, unnest(['stage', 'amount', 'probability', 'forecast_category', 'close_date']) from (select distinct opportunity_id from snapshots);

-- What the versions of the record say, each beside the one before.
create temp table dated as
select
    v.* exclude (created_at),
    v.created_at as deal_created_at,
    s.first_stage,
    case
        when version_number = 1 then v.created_at
        when modified_at > previous_extracted_at and modified_at <= extracted_at then modified_at
        else extracted_at
    end as changed_at,
    least(
        greatest(coalesce(t.changed_at, v.close_date::timestamp, v.modified_at, v.extracted_at), v.created_at + interval 1 second),
        greatest(v.extracted_at, v.created_at + interval 1 second)
    ) as ended_at,
    least(greatest(coalesce(v.modified_at, v.extracted_at), v.created_at + interval 1 second), greatest(v.extracted_at, v.created_at + interval 1 second)) as first_modified_at
from (
    select
        v.* exclude (created_at, is_from_first_load, id, opportunity_name, type, lead_source, campaign_id, product),
        d.created_at, d.learned_at as deal_learned_at, v.is_from_first_load,
        coalesce(v.outcome_flag, v.stage_outcome, 'open') <> 'open' as is_ended,
        row_number() over one as version_number,
        lag(v.extracted_at) over one as previous_extracted_at,
        lag(columns(getvariable('fields'))) over one as "\0_before"
    from versions as v inner join deals as d on v.opportunity_id = d.opportunity_id
    window one as (partition by v.opportunity_id order by v.extracted_at)
) as v
left join (
    select opportunity_id, max(changed_at) as changed_at from (
        select opportunity_id, changed_at from stamped where field = 'stage'
        union all select opportunity_id, changed_at from snapshots where change_order = 1 or stage is distinct from stage_before
    ) group by opportunity_id
) as t on v.opportunity_id = t.opportunity_id
left join (
    select source_system, pipeline, arg_min(stage, (stage_order, stage)) as first_stage from core.dim_stages
    where outcome = 'open' and valid_from_at = timestamp '1970-01-01' group by all
) as s on v.source_system = s.source_system and v.pipeline = s.pipeline;

-- The change stream: one row a deal, field and change.
set variable said = (
    select string_agg(format(
        'select opportunity_id, source_system, ''{0}'' as field, {0}::varchar as value, version_number, is_ended, is_from_first_load, first_stage, changed_at, extracted_at,
            deal_created_at, deal_learned_at, ended_at, first_modified_at from dated where {0} is distinct from {0}_before', field
    ), ' union all ')
    from unnest(getvariable('fields')) as t(field)
);

set variable snapped = (
    select string_agg(format(
        'select opportunity_id, ''{0}'' as field, {0}::varchar as value, change_order, changed_at, learned_at, created_at, deal_learned_at
            from snapshots where (change_order = 1 and {0} is not null) or (change_order > 1 and {0} is distinct from {0}_before)', field
    ), ' union all ')
    from unnest(['stage', 'amount', 'probability', 'forecast_category', 'close_date']) as t(field)
);

create temp table changes as
with tracked as (select distinct d.source_system, c.field from covered as c inner join deals as d using (opportunity_id)),
said as (
    select s.*, t.field is not null as is_tracked, s.field in ('forecast_category', 'probability', 'loss_reason', 'outcome_flag') as is_closing
    from query(getvariable('said')) as s
    anti join covered as c on s.opportunity_id = c.opportunity_id and s.field = c.field
    left join tracked as t on s.source_system = t.source_system and s.field = t.field
    where not (s.field = 'is_deleted' and s.version_number = 1 and s.value = 'false')
)
from (
    select opportunity_id, field, value, if(change_order = 1, created_at, changed_at) as changed_at, if(change_order = 1, deal_learned_at, learned_at) as learned_at,
        change_order = 1 and changed_at::date > created_at::date as is_reconstructed, change_order
    from query(getvariable('snapped'))
    union all
    select
        opportunity_id, field, value,
        if(is_start and (is_from_creation or field in ('stage', 'pipeline')), created_at, changed_at),
        if(is_start and (is_from_creation or field in ('stage', 'pipeline')), deal_learned_at, learned_at),
        is_start and not is_from_creation and field in ('stage', 'pipeline'), change_order
    from (select *, is_first and old_value is null as is_start, changed_at::date <= created_at::date as is_from_creation from stamped)
    where not (is_first and value is null and (old_value is null or changed_at <= created_at))
    union all
    select opportunity_id, field, old_value, created_at, deal_learned_at, false, 0
    from stamped where is_first and old_value is not null and changed_at > created_at
    union all
    select
        opportunity_id, field,
        if(field = 'stage' and is_ended and version_number = 1, coalesce(first_stage, value), value),
        case
            when version_number > 1 then changed_at
            when field in ('is_deleted', 'merged_into_id') then first_modified_at
            when is_closing and is_ended and not is_tracked then ended_at
            else deal_created_at
        end,
        case
            when version_number > 1 then extracted_at
            when field in ('is_deleted', 'merged_into_id') then if(is_from_first_load, first_modified_at, deal_learned_at)
            when is_closing and is_ended and not is_tracked and is_from_first_load then ended_at
            else deal_learned_at
        end,
        version_number = 1 and case
            when field = 'stage' then is_ended or (is_from_first_load and not is_tracked)
            when field in ('is_deleted', 'merged_into_id') then is_from_first_load
            else is_from_first_load and not is_tracked
        end,
        if(version_number = 1, 0, version_number)
    from said
    union all
    select opportunity_id, field, value, ended_at, if(is_from_first_load, ended_at, deal_learned_at), is_from_first_load, 1
    from said
    where field = 'stage' and version_number = 1 and is_ended and value is distinct from coalesce(first_stage, value)
    union all
    select d.opportunity_id, 'merged_into_id', coalesce(s.opportunity_id, m.survivor_id), greatest(m.merged_at, d.created_at),
        if(m.extracted_at <= (select min(_extracted_at) from raw_hubspot.merged_deal), m.merged_at, m.extracted_at), false, 1
    from hubspot_merges as m
    inner join deals as d on m.id = d.opportunity_id and d.source_system = 'hubspot'
    left join deal_ids as s on m.survivor_id = s.source_opportunity_id and s.source_system = 'hubspot'
)
where changed_at <= (select as_of_at from instants) and learned_at <= (select as_of_at from instants);

-- States of a deal.
set variable pivoted = (
    select 'select opportunity_id, changed_at, max(learned_at) as learned_at, '
        || (select string_agg(format('max(if(is_reconstructed, ''{0}'', '''')) filter (field = ''{0}'') as {0}_origin', f), ', ')
            from unnest([
                'stage', 'amount', 'close_date', 'owner_id', 'currency_code', 'forecast_category',
                'probability', 'next_step', 'next_step_date', 'champion', 'economic_buyer', 'budget_confirmed', 'decision_timeline', 'competitor'
            ]) as t(f)) || ', '
        || (select string_agg(format('max(coalesce(value, '''')) filter (field = ''{0}'') as {0}', f), ', ') from unnest(getvariable('fields')) as t(f))
        || ' from changes group by opportunity_id, changed_at'
);

create temp table carried as
select
    opportunity_id, changed_at as valid_from_at, lead(changed_at) over (partition by opportunity_id order by changed_at) as valid_to_at, learned_at,
    nullif(last_value(columns(c -> list_contains(getvariable('fields'), c) or c like '%_origin') ignore nulls) over one, '') as "\0"
from query(getvariable('pivoted'))
window one as (partition by opportunity_id order by changed_at rows unbounded preceding);

create table core.fct_opportunity_states as
with staged as (
    select
        c.*, d.source_system, d.is_excluded, s.stage is not null as is_known_stage, s.stage_order, coalesce(s.is_pipeline, true) as is_pipeline_stage,
        coalesce(c.outcome_flag, s.outcome, 'open') as outcome,
        greatest(c.valid_from_at, s.valid_from_at) as from_at,
        least(c.valid_to_at, s.valid_to_at) as to_at,
        concat_ws(',', stage_origin, amount_origin, close_date_origin, owner_id_origin, currency_code_origin, forecast_category_origin) as relied_on,
        concat_ws(',', nullif(relied_on, ''), probability_origin, next_step_origin, next_step_date_origin, champion_origin, economic_buyer_origin, budget_confirmed_origin, decision_timeline_origin, competitor_origin) as reconstructed_fields
    from carried as c
    inner join deals as d on c.opportunity_id = d.opportunity_id
    left join core.dim_stages as s on d.source_system = s.source_system and c.pipeline = s.pipeline and c.stage = s.stage
        and s.valid_from_at < coalesce(c.valid_to_at, 'infinity') and coalesce(s.valid_to_at, 'infinity') > c.valid_from_at
),
closings as (
    select *, outcome <> 'open' and outcome <> lag(outcome, 1, 'open') over (partition by opportunity_id order by from_at) as is_closing
    from staged
),
closed as (
    select
        *,
        row_number() over one as state_number,
        if(outcome <> 'open', last_value(if(is_closing, {'instant': from_at, 'rep': coalesce(owner_id, 'unassigned')}, null) ignore nulls) over one, null) as closing
    from closings
    window one as (partition by opportunity_id order by from_at rows unbounded preceding)
)
select
    opportunity_id,
    state_number::integer as state_number,
    from_at as valid_from_at,
    to_at as valid_to_at,
    learned_at,
    relied_on <> '' as is_reconstructed,
    nullif(reconstructed_fields, '') as reconstructed_fields,
    source_system, pipeline, stage, stage_order, is_known_stage, outcome, is_pipeline_stage,
    outcome = 'open' and is_pipeline_stage and is_deleted is distinct from 'true' and merged_into_id is null and not is_excluded as is_in_pipeline,
    coalesce(is_deleted = 'true', false) as is_deleted,
    merged_into_id,
    is_excluded,
    coalesce(owner_id, 'unassigned') as rep_id,
    closing.rep as credited_rep_id,
    account_id,
    amount::decimal(18, 2) as amount,
    coalesce(currency_code, 'USD') as currency_code,
    close_date::date as close_date,
    forecast_category,
    probability::decimal(9, 4) as probability,
    next_step,
    next_step_date::date as next_step_date,
    champion, economic_buyer,
    budget_confirmed::boolean as budget_confirmed,
    decision_timeline::date as decision_timeline,
    competitor, loss_reason,
    list_amount::decimal(18, 2) as list_amount,
    discount_rate::decimal(9, 4) as discount_rate,
    closing.instant as closed_at,
    closing.instant::date as booking_date
from closed;

create table core.fct_stage_stays as
with entries as (
    select
        *,
        lead(valid_from_at) over one as exited_at, lead(stage_order) over one as next_stage_order, lead(order_before) over one as order_on_exit,
        lead(outcome) over one as next_outcome, lead(is_deleted) over one as is_next_deleted, lead(merged_into_id is not null) over one as is_next_merged
    from (
        select *, lag(stage_order) over one as order_before
        from core.fct_opportunity_states where stage is not null
        window one as (partition by opportunity_id order by valid_from_at)
        qualify coalesce((pipeline, stage, is_deleted or merged_into_id is not null) <> lag((pipeline, stage, is_deleted or merged_into_id is not null)) over one, true)
    )
    window one as (partition by opportunity_id order by valid_from_at)
),
stays as (
    select *, row_number() over (partition by opportunity_id, pipeline, stage order by valid_from_at)::integer as stay_number
    from entries where not is_deleted and merged_into_id is null
)
select
    s.opportunity_id || '/' || s.pipeline || '/' || s.stage || '/' || stay_number as stay_id,
    s.opportunity_id, s.pipeline, s.stage, s.stage_order, s.outcome, stay_number, stay_number = 1 as is_first_entry,
    s.valid_from_at as entered_at, s.exited_at, d.date_day as entered_date, d.fiscal_quarter, d.quarter_start_date,
    days(s.valid_from_at, coalesce(s.exited_at, (select as_of_at from instants))) as days_in_stage,
    case
        when s.exited_at is null then null
        when s.is_next_merged then 'merged'
        when s.is_next_deleted then 'deleted'
        when s.next_outcome in ('won', 'lost') then s.next_outcome
        when s.next_stage_order > s.order_on_exit then 'advanced'
        else 'regressed'
    end as exit_to,
    s.exited_at is not null and not s.is_next_merged and not s.is_next_deleted as is_finished,
    s.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment
from stays as s
inner join core.dim_dates as d on s.valid_from_at::date = d.date_day
left join attributes as a on s.rep_id = a.rep_id and d.date_day >= a.valid_from_date and d.date_day < coalesce(a.valid_to_date, 'infinity');

-- Pipeline movements: a deal's day ends, cut where its owner's team or its rate changes, and each one against the one before.
create temp table day_ends as
select *, lead(state_date) over (partition by opportunity_id order by state_date) as next_state_date
from (
    select
        opportunity_id, valid_from_at::date as state_date, valid_from_at, is_in_pipeline, outcome, is_deleted, merged_into_id, rep_id, coalesce(amount, 0) as amount, currency_code,
        if(outcome = 'open', close_date, booking_date) as target_date, booking_date,
        bool_or(is_in_pipeline) over (partition by opportunity_id, valid_from_at::date) as was_in_pipeline_that_day
    from core.fct_opportunity_states where not is_excluded
    qualify valid_from_at = max(valid_from_at) over (partition by opportunity_id, valid_from_at::date)
);

create temp table events as
with pieces as (
    select
        d.opportunity_id, greatest(d.state_date, a.valid_from_date, r.valid_from_date) as movement_date, d.is_in_pipeline, d.was_in_pipeline_that_day, d.outcome, d.is_deleted,
        d.merged_into_id, d.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
        coalesce(q.quarter_start_date, date '9999-12-31') as quarter, d.amount,
        coalesce(if(d.outcome = 'open', r.rate_to_base, coalesce(b.rate_to_base, r.rate_to_base)), 0) as rate
    from (select *, if(is_in_pipeline, next_state_date, state_date + 1) as end_date from day_ends) as d
    left join (select * from attributes where valid_from_date <= (select as_of_date from instants)) as a
        on d.rep_id = a.rep_id and a.valid_from_date < coalesce(d.end_date, 'infinity') and coalesce(a.valid_to_date, 'infinity') > d.state_date
    left join (select * from open_rates where valid_from_date <= (select as_of_date from instants)) as r
        on d.currency_code = r.currency_code and r.valid_from_date < coalesce(d.end_date, 'infinity') and coalesce(r.valid_to_date, 'infinity') > d.state_date
    left join rates as b on d.currency_code = b.currency_code and b.rate_type = 'dated' and d.booking_date >= b.valid_from_date and d.booking_date < coalesce(b.valid_to_date, 'infinity')
    left join core.dim_dates as q on d.target_date = q.date_day
    where (a.valid_to_date is null or r.valid_from_date is null or r.valid_from_date < a.valid_to_date)
        and (r.valid_to_date is null or a.valid_from_date is null or a.valid_from_date < r.valid_to_date)
)
select
    v.*,
    coalesce(lag(is_in_pipeline) over one, false) as was_in_pipeline,
    coalesce(bool_or(is_in_pipeline) over (partition by v.opportunity_id order by v.movement_date rows between unbounded preceding and 1 preceding), false) as had_been_in_pipeline,
    lag(is_deleted) over one as was_deleted, lag(merged_into_id) over one as merged_into_before, lag(rep_id) over one as rep_before, lag(team) over one as team_before,
    lag(segment) over one as segment_before, lag(quarter) over one as quarter_before, lag(rate) over one as rate_before, lag(amount_base) over one as amount_base_before,
    s.opportunity_id is not null as is_merge_survivor,
    round(amount * lag(rate) over one, 2)::decimal(18, 2) as amount_at_rate_before
from (select *, round(amount * rate, 2)::decimal(18, 2) as amount_base from pieces) as v
left join (
    select distinct merged_into_id as opportunity_id, valid_from_at::date as movement_date from core.fct_opportunity_states where merged_into_id is not null
) as s on v.opportunity_id = s.opportunity_id and v.movement_date = s.movement_date
window one as (partition by v.opportunity_id order by v.movement_date);

create table core.fct_pipeline_movements as
with steps as (
    select opportunity_id, movement_date, 1 as movement_order, 'reassigned_out' as movement, rep_before as rep_id, team_before as team, segment_before as segment,
        quarter_before as quarter, -amount_base_before as amount_base, rep_id <> rep_before as crosses_rep, team <> team_before as crosses_team, segment <> segment_before as crosses_segment
    from events where was_in_pipeline and (rep_id <> rep_before or team <> team_before or segment <> segment_before)
    union all
    select opportunity_id, movement_date, 2, 'reassigned_in', rep_id, team, segment, quarter_before, amount_base_before, rep_id <> rep_before, team <> team_before, segment <> segment_before
    from events where was_in_pipeline and (rep_id <> rep_before or team <> team_before or segment <> segment_before)
    union all
    select opportunity_id, movement_date, 3, if(quarter < quarter_before, 'pulled_out', 'pushed_out'), rep_id, team, segment, quarter_before, -amount_base_before, true, true, true
    from events where was_in_pipeline and quarter <> quarter_before
    union all
    select opportunity_id, movement_date, 4, if(quarter < quarter_before, 'pulled_in', 'pushed_in'), rep_id, team, segment, quarter, amount_base_before, true, true, true
    from events where was_in_pipeline and quarter <> quarter_before
    union all
    select opportunity_id, movement_date, 5, if(amount_at_rate_before > amount_base_before, 'increased', 'decreased'), rep_id, team, segment, quarter, amount_at_rate_before - amount_base_before, true, true, true
    from events where was_in_pipeline and amount_at_rate_before <> amount_base_before
    union all
    select opportunity_id, movement_date, 6, 'currency', rep_id, team, segment, quarter, amount_base - amount_at_rate_before, true, true, true
    from events where was_in_pipeline and amount_base <> amount_at_rate_before
    union all
    select opportunity_id, movement_date, 7,
        case
            when is_merge_survivor and not had_been_in_pipeline then 'merged'
            when not had_been_in_pipeline then 'created'
            when was_deleted or merged_into_before is not null then 'restored'
            else 'reopened'
        end, rep_id, team, segment, quarter, amount_base, true, true, true
    from events where not was_in_pipeline and (is_in_pipeline or (was_in_pipeline_that_day and not had_been_in_pipeline))
    union all
    select opportunity_id, movement_date, 8,
        case
            when merged_into_id is not null then 'merged'
            when is_deleted then 'deleted'
            when outcome = 'open' then 'withdrawn'
            else outcome
        end, rep_id, team, segment, quarter, -amount_base, true, true, true
    from events where not is_in_pipeline and (was_in_pipeline or (was_in_pipeline_that_day and not had_been_in_pipeline))
)
select
    s.opportunity_id, s.movement_date, d.week_start_date, s.movement_order::integer as movement_order, s.movement, s.rep_id, s.team, s.segment,
    coalesce(q.fiscal_quarter, 'unscheduled') as target_fiscal_quarter, q.quarter_start_date as target_quarter_start_date, s.amount_base::decimal(18, 2) as amount_base,
    s.crosses_rep, s.crosses_team, s.crosses_segment
from steps as s
inner join core.dim_dates as d on s.movement_date = d.date_day
left join core.dim_dates as q on s.quarter = q.date_day;

create table core.fct_opportunities as
with lives as (
    select
        opportunity_id,
        min(valid_from_at) filter (is_in_pipeline) as first_pipeline_at,
        arg_min(rep_id, valid_from_at) filter (is_in_pipeline) as first_pipeline_rep_id,
        bool_or(outcome = 'won') as was_ever_won,
        bool_or(was_reopened) as was_reopened,
        count(*) filter (outcome = 'open' and close_date > close_date_before) as push_count,
        count(*) filter (outcome = 'open' and close_date > close_date_before and date_trunc('quarter', close_date) > date_trunc('quarter', close_date_before)) as slip_count
    from (
        select *, outcome = 'open' and lag(outcome, 1, 'open') over one <> 'open' as was_reopened, lag(close_date ignore nulls) over one as close_date_before
        from core.fct_opportunity_states
        window one as (partition by opportunity_id order by valid_from_at)
    )
    group by opportunity_id
)
select
    v.opportunity_id, v.source_system, i.opportunity_name, v.pipeline, v.stage, v.outcome, i.type, i.lead_source,
    i.lead_source in ('Outbound', 'Self-sourced', 'Prospecting', 'Referral by rep') as is_self_sourced,
    i.campaign_id, i.product, v.account_id, v.rep_id, v.credited_rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
    l.first_pipeline_rep_id, v.currency_code, v.forecast_category, v.probability, v.amount, v.list_amount, v.discount_rate, v.rate_to_base,
    round(coalesce(v.amount, 0) * coalesce(v.rate_to_base, 0), 2)::decimal(18, 2) as amount_base,
    if(v.outcome = 'won' and not v.is_deleted and v.merged_into_id is null and not v.is_excluded, round(coalesce(v.amount, 0) * coalesce(v.rate_to_base, 0), 2), 0)::decimal(18, 2) as won_amount_base,
    l.push_count::integer as push_count, l.slip_count::integer as slip_count, v.is_in_pipeline, l.first_pipeline_at is not null as was_ever_in_pipeline,
    l.was_reopened, l.was_ever_won, v.is_deleted, v.merged_into_id, v.is_excluded, i.exclusion_reason, v.is_reconstructed,
    i.created_at::date as created_date, l.first_pipeline_at::date as first_pipeline_date, v.close_date, v.booking_date,
    if(v.outcome = 'won', v.booking_date - i.created_at::date, null)::integer as sales_cycle_days,
    v.next_step, v.next_step_date, v.champion, v.economic_buyer, v.budget_confirmed, v.decision_timeline, v.competitor, v.loss_reason,
    i.created_at, l.first_pipeline_at, v.closed_at, i.modified_at as last_modified_at
from (
    select s.*, n.as_of_date, if(s.outcome = 'open', o.rate_to_base, coalesce(b.rate_to_base, c.rate_to_base)) as rate_to_base
    from core.fct_opportunity_states as s
    cross join instants as n
    left join open_rates as o on s.currency_code = o.currency_code and n.as_of_date >= o.valid_from_date and n.as_of_date < coalesce(o.valid_to_date, 'infinity')
    left join rates as b on s.currency_code = b.currency_code and b.rate_type = 'dated' and s.booking_date >= b.valid_from_date and s.booking_date < coalesce(b.valid_to_date, 'infinity')
    left join open_rates as c on s.currency_code = c.currency_code and s.booking_date >= c.valid_from_date and s.booking_date < coalesce(c.valid_to_date, 'infinity')
    where s.valid_to_at is null
) as v
inner join deals as i on v.opportunity_id = i.opportunity_id
inner join lives as l on v.opportunity_id = l.opportunity_id
left join attributes as a on coalesce(v.credited_rep_id, v.rep_id) = a.rep_id and coalesce(v.booking_date, v.as_of_date) >= a.valid_from_date
    and coalesce(v.booking_date, v.as_of_date) < coalesce(a.valid_to_date, 'infinity');

create temp table loads as
select 'salesforce' as source_system, unnest([min(_extracted_at), max(_extracted_at)]) as loaded_at from read_parquet(replace(getvariable('files'), 'raw_', 'raw_salesforce.'), union_by_name = true)
union all
select 'hubspot', unnest([min(_extracted_at), max(_extracted_at)]) from read_parquet(replace(getvariable('files'), 'raw_', 'raw_hubspot.'), union_by_name = true);

create table core.restatements as
with late as (
    select c.*
    from changes as c inner join deals as d on c.opportunity_id = d.opportunity_id
    inner join (
        select source_system, loaded_at, lag(loaded_at) over (partition by source_system order by loaded_at) as previous_loaded_at
        from (
            select d.source_system, c.learned_at as loaded_at from changes as c inner join deals as d on c.opportunity_id = d.opportunity_id where c.learned_at > c.changed_at
            union select * from loads
        )
    ) as l on d.source_system = l.source_system and c.learned_at = l.loaded_at
    where c.changed_at <= l.previous_loaded_at
),
told as (
    select
        t.opportunity_id, t.field, t.value, t.changed_at, t.learned_at,
        arg_max_null(c.value, c.changed_at) filter (c.changed_at <= t.changed_at and c.learned_at < t.learned_at) as old_value,
        min(c.changed_at) filter (c.changed_at > t.changed_at) as valid_to_at
    from late as t left join changes as c on t.opportunity_id = c.opportunity_id and t.field = c.field and c.learned_at <= t.learned_at
    group by all
)
select
    opportunity_id, field, changed_at as valid_from_at, valid_to_at, old_value, value as new_value, learned_at,
    date_trunc('week', changed_at)::date as first_week_start_date,
    date_trunc('week', least(coalesce(valid_to_at, learned_at), learned_at))::date as last_week_start_date,
    ((date_trunc('week', least(coalesce(valid_to_at, learned_at), learned_at))::date - date_trunc('week', changed_at)::date) / 7)::integer + 1 as weeks_touched_count
from told
where coalesce(old_value, '') <> coalesce(value, '');

-- Activities: what each system logged, then the ones that two systems logged.
create temp macro call_outcome(name) as
case
    when lower(name) like '%connect%' and lower(name) not like '%not%' then 'connected'
    when lower(name) like '%voice%' then 'voicemail'
    when lower(name) like '%no answer%' or lower(name) = 'no_answer' then 'no_answer'
    else nullif(replace(lower(trim(name)), ' ', '_'), '')
end;

create temp macro meeting_outcome(name) as
case
    when lower(name) in ('completed', 'complete', 'held', 'done') then 'completed'
    when lower(name) like 'no%show' then 'no_show'
    when lower(name) like 'cancel%' then 'canceled'
    else nullif(replace(lower(trim(name)), ' ', '_'), '')
end;

create temp macro minutes(a, b) as (date_diff('second', a, b) / 60.0)::decimal(18, 2);

create temp table deal_accounts as
select i.source_system, i.source_opportunity_id, i.opportunity_id, d.account_id
from deal_ids as i left join deals as d on i.opportunity_id = d.opportunity_id;

create temp table logged as
with newest_task as (select Id, max(_extracted_at) as last_at from raw_salesforce.task group by Id having count(*) > 1),
newest_event as (select Id, max(_extracted_at) as last_at from raw_salesforce.event group by Id having count(*) > 1),
newest_call as (select id, max(_extracted_at) as last_at from raw_hubspot.engagement_call group by id having count(*) > 1),
newest_meeting as (select id, max(_extracted_at) as last_at from raw_hubspot.engagement_meeting group by id having count(*) > 1),
newest_email as (select id, max(_extracted_at) as last_at from raw_hubspot.engagement_email group by id having count(*) > 1),
newest_todo as (select id, max(_extracted_at) as last_at from raw_hubspot.engagement_task group by id having count(*) > 1),
said as (
    select
        t.Id as activity_id, 'salesforce' as source_system, OwnerId as source_user_id, AccountId as source_account_id, WhatId as source_opportunity_id, WhoId as source_contact_id,
        case when TaskSubtype = 'Call' then 'call' when TaskSubtype like '%Email' then 'email' else 'task' end as type,
        case
            when CompletedDateTime is null then CreatedDate
            when TaskSubtype = 'Call' then CompletedDateTime - to_seconds(coalesce(CallDurationInSeconds, 0))
            else CompletedDateTime
        end as occurred_at,
        (CallDurationInSeconds / 60.0)::decimal(18, 2) as duration_minutes,
        case
            when lower(CallType) in ('inbound', 'outbound') then lower(CallType)
            when TaskSubtype like '%Email' then if(regexp_matches(lower(Subject), '\[in\]|^email: re|^email: <<'), 'inbound', 'outbound')
        end as direction,
        call_outcome(CallDisposition) as outcome, Status = 'Completed' and CompletedDateTime is not null as is_completed, CreatedDate as created_at
    from raw_salesforce.task as t left join newest_task as n on t.Id = n.Id
    where IsDeleted is distinct from true and (n.Id is null or t._extracted_at = n.last_at)
    union all
    select
        t.Id, 'salesforce', OwnerId, AccountId, WhatId, WhoId,
        case when lower(Type) like '%demo%' then 'demo' when lower(Type) like '%call%' then 'call' else 'meeting' end,
        StartDateTime, minutes(StartDateTime, EndDateTime), null, meeting_outcome(Outcome__c), coalesce(meeting_outcome(Outcome__c), 'completed') = 'completed', CreatedDate
    from raw_salesforce.event as t left join newest_event as n on t.Id = n.Id
    where IsDeleted is distinct from true and (n.Id is null or t._extracted_at = n.last_at)
    union all
    select
        'hubspot-' || t.id, 'hubspot', 'hubspot-' || hubspot_owner_id, 'hubspot-' || company_id, 'hubspot-' || deal_id, 'hubspot-' || contact_id, 'call',
        hs_timestamp, (hs_call_duration / 60000.0)::decimal(18, 2), lower(hs_call_direction),
        case hs_call_disposition
            when 'f240bbac-87c9-4f6e-bf70-924b57d47db7' then 'connected'
            when '73a0d17f-1163-4015-bdd5-ec830791da20' then 'no_answer'
            when 'b2cf5968-551e-4856-9783-52b3da59a7d0' then 'voicemail'
            when 'a4c4c377-d246-4b32-a13b-75a56a4cd0ff' then 'voicemail'
            when '9d9162e7-6cf3-4944-bf63-4dff82258764' then 'no_answer'
            when '17b47fee-58de-441e-a44c-c6300d46f273' then 'wrong_number'
            else call_outcome(hs_call_disposition)
        end, coalesce(upper(hs_call_status), 'COMPLETED') = 'COMPLETED', createdate
    from raw_hubspot.engagement_call as t left join newest_call as n on t.id = n.id
    where archived is distinct from true and (n.id is null or t._extracted_at = n.last_at)
    union all
    select
        'hubspot-' || t.id, 'hubspot', 'hubspot-' || hubspot_owner_id, 'hubspot-' || company_id, 'hubspot-' || deal_id, 'hubspot-' || contact_id,
        if(lower(hs_activity_type) like '%demo%', 'demo', 'meeting'), coalesce(hs_meeting_start_time, hs_timestamp), minutes(hs_meeting_start_time, hs_meeting_end_time), null,
        meeting_outcome(hs_meeting_outcome), coalesce(meeting_outcome(hs_meeting_outcome), 'completed') = 'completed', createdate
    from raw_hubspot.engagement_meeting as t left join newest_meeting as n on t.id = n.id
    where archived is distinct from true and (n.id is null or t._extracted_at = n.last_at)
    union all
    select
        'hubspot-' || t.id, 'hubspot', 'hubspot-' || hubspot_owner_id, 'hubspot-' || company_id, 'hubspot-' || deal_id, 'hubspot-' || contact_id, 'email', hs_timestamp, null,
        if(upper(hs_email_direction) = 'INCOMING_EMAIL', 'inbound', 'outbound'), lower(hs_email_status),
        coalesce(upper(hs_email_status), 'SENT') not in ('FAILED', 'BOUNCED', 'SCHEDULED', 'SENDING'), createdate
    from raw_hubspot.engagement_email as t left join newest_email as n on t.id = n.id
    where archived is distinct from true and (n.id is null or t._extracted_at = n.last_at)
    union all
    select
        'hubspot-' || t.id, 'hubspot', 'hubspot-' || hubspot_owner_id, 'hubspot-' || company_id, 'hubspot-' || deal_id, 'hubspot-' || contact_id, 'task',
        coalesce(hs_task_completion_date, createdate), null, null, null, upper(hs_task_status) = 'COMPLETED' and hs_task_completion_date is not null, createdate
    from raw_hubspot.engagement_task as t left join newest_todo as n on t.id = n.id
    where archived is distinct from true and (n.id is null or t._extracted_at = n.last_at)
)
select
    s.activity_id, s.source_system, s.type, u.rep_id, coalesce(a.account_id, d.account_id, s.source_account_id) as account_id, d.opportunity_id, c.contact_id,
    s.occurred_at, s.duration_minutes, s.direction, s.outcome, s.is_completed and s.occurred_at <= n.as_of_at as is_completed,
    greatest(s.occurred_at, s.created_at) as learned_at
from said as s
cross join instants as n
left join users as u on s.source_system = u.source_system and s.source_user_id = u.source_user_id
left join account_ids as a on s.source_system = a.source_system and s.source_account_id = a.source_account_id
left join deal_accounts as d on s.source_system = d.source_system and s.source_opportunity_id = d.source_opportunity_id
left join contact_ids as c on s.source_system = c.source_system and s.source_contact_id = c.source_contact_id
where s.occurred_at <= n.as_of_at or s.created_at <= n.as_of_at;

create temp table guests as
select 'gong-' || call_id as activity_id, email_of(emailAddress) as email from raw_gong.call_party
where lower(affiliation) <> 'internal';

create temp table recorded as
select
    c.id as activity_id, 'gong' as source_system, c.type, u.rep_id, x.account_id, x.opportunity_id, g.contact_id, c.occurred_at, c.duration_minutes, c.direction, c.outcome,
    c.is_completed and c.occurred_at <= n.as_of_at as is_completed, c.occurred_at as learned_at
from (
    select
        'gong-' || id as id, 'gong-' || primaryUserId as source_user_id,
        case when lower(direction) <> 'conference' or direction is null then 'call' when lower(title) like '%demo%' then 'demo' else 'meeting' end as type,
        coalesce(started, scheduled) as occurred_at, (duration / 60.0)::decimal(18, 2) as duration_minutes,
        if(lower(direction) in ('inbound', 'outbound'), lower(direction), null) as direction,
        case when started is null or coalesce(duration, 0) = 0 then null when lower(direction) = 'conference' then 'completed' else 'connected' end as outcome,
        started is not null and coalesce(duration, 0) > 0 as is_completed
    from raw_gong.call where coalesce(lower(scope), 'external') <> 'internal'
    qualify row_number() over (partition by id order by _extracted_at desc) = 1
) as c
cross join instants as n
left join users as u on u.source_system = 'gong' and c.source_user_id = u.source_user_id
left join (
    select 'gong-' || x.call_id as activity_id, min(d.opportunity_id) as opportunity_id, coalesce(min(a.account_id), min(d.account_id)) as account_id
    from (
        select call_id, if(lower(system) = 'hubspot', 'hubspot-' || object_id, object_id) as id,
            if(lower(object_type) in ('opportunity', 'deal'), lower(system), null) as deal_system, if(lower(object_type) in ('account', 'company'), lower(system), null) as account_system
        from raw_gong.call_context
    ) as x
    left join deal_accounts as d on x.deal_system = d.source_system and x.id = d.source_opportunity_id
    left join account_ids as a on x.account_system = a.source_system and x.id = a.source_account_id
    group by x.call_id
) as x on c.id = x.activity_id
left join (
    select g.activity_id, min(p.contact_id) as contact_id
    from guests as g left join (select email, min(contact_id) as contact_id from contact_ids where email is not null group by email) as p on g.email = p.email
    group by g.activity_id
) as g on c.id = g.activity_id
where c.occurred_at <= n.as_of_at;

create temp table shared_contacts as
select contact_id from contact_ids group by contact_id having count(distinct source_system) > 1;

create temp table copies as
with pairs as (
    select r.activity_id as leading_id, 0 as leading_place, l.activity_id, l.source_system, abs(epoch_us(l.occurred_at) - epoch_us(r.occurred_at)) as apart, r.occurred_at as leading_at, l.occurred_at
    from (
        select distinct r.activity_id, r.rep_id, r.account_id, p.contact_id, r.occurred_at
        from recorded as r inner join guests as g on r.activity_id = g.activity_id inner join contact_ids as p on g.email = p.email
        where r.contact_id is not null and r.rep_id is not null and r.account_id is not null
    ) as r
    inner join logged as l on r.contact_id = l.contact_id and r.rep_id = l.rep_id and r.account_id = l.account_id
        and l.occurred_at between r.occurred_at - interval 15 minutes and r.occurred_at + interval 15 minutes
    where l.type in ('call', 'meeting', 'demo')
    union all
    select l.activity_id, 1, f.activity_id, f.source_system, abs(epoch_us(f.occurred_at) - epoch_us(l.occurred_at)), l.occurred_at, f.occurred_at
    from logged as l
    inner join logged as f on l.contact_id = f.contact_id and l.rep_id = f.rep_id and l.account_id = f.account_id and l.type = f.type
        and f.occurred_at between l.occurred_at - interval 15 minutes and l.occurred_at + interval 15 minutes
    where l.source_system = 'salesforce' and f.source_system = 'hubspot'
        and l.contact_id in (from shared_contacts)
),
chosen as (
    select activity_id, leading_id
    from (
        select *,
            row_number() over (partition by activity_id, leading_place order by apart, leading_at, leading_id) as leading_choice,
            row_number() over (partition by leading_id, source_system order by apart, occurred_at, activity_id) as choice
        from pairs
    )
    where leading_choice = 1 and choice = 1
    qualify row_number() over (partition by activity_id order by leading_place) = 1
)
select c.activity_id, coalesce(g.leading_id, f.leading_id, c.leading_id) as leading_id
from chosen as c
left join chosen as f on c.leading_id = f.activity_id
left join chosen as g on f.leading_id = g.activity_id;

create temp table led as
select
    leading_id, sf + hs as duplicate_count, concat_ws(',', nullif(rtrim(repeat('salesforce,', sf), ','), ''), nullif(rtrim(repeat('hubspot,', hs), ','), '')) as sources,
    coalesce(sf_type, hs_type) as type, opportunity_id, direction, duration_minutes
from (
    select
        c.leading_id, count(*) filter (l.source_system = 'salesforce') as sf, count(*) filter (l.source_system = 'hubspot') as hs,
        arg_min(l.type, l.activity_id) filter (l.source_system = 'salesforce') as sf_type, arg_min(l.type, l.activity_id) filter (l.source_system = 'hubspot') as hs_type,
        max(l.opportunity_id) as opportunity_id, max(l.direction) as direction, max(l.duration_minutes) as duration_minutes
    from logged as l inner join copies as c on l.activity_id = c.activity_id
    group by c.leading_id
);

create temp table answered as
select distinct o.activity_id
from logged as o
inner join logged as i on o.rep_id = i.rep_id and coalesce(o.contact_id, o.opportunity_id, o.account_id) = coalesce(i.contact_id, i.opportunity_id, i.account_id)
    and i.occurred_at > o.occurred_at and i.occurred_at <= o.occurred_at + interval 7 days
where o.type = 'email' and o.direction = 'outbound' and o.is_completed and i.type = 'email' and i.direction = 'inbound' and i.is_completed;

create table core.fct_activities as
select
    a.activity_id, a.source_system, if(t.leading_id is null, a.source_system, a.source_system || ',' || t.sources) as sources,
    coalesce(t.type, a.type) as type, coalesce(a.rep_id, 'unassigned') as rep_id, a.account_id, coalesce(a.opportunity_id, t.opportunity_id) as opportunity_id, a.contact_id,
    coalesce(a.direction, t.direction) as direction, a.outcome, coalesce(a.duration_minutes, t.duration_minutes) as duration_minutes, a.is_completed,
    a.is_completed and (
        coalesce(t.type, a.type) in ('meeting', 'demo')
        or (coalesce(t.type, a.type) = 'call' and coalesce(a.outcome = 'connected', false))
        or (a.type = 'email' and coalesce(a.direction = 'inbound', false))
        or a.activity_id in (from answered)
    ) as is_two_way,
    coalesce(t.duplicate_count, 0)::integer as duplicate_count,
    a.occurred_at::date as activity_date, date_trunc('week', a.occurred_at)::date as week_start_date, a.occurred_at, a.learned_at
from (select * from logged union all select * from recorded) as a
anti join copies as c on a.activity_id = c.activity_id
left join led as t on a.activity_id = t.leading_id;

create table core.fct_quotas as
with told as (
    select
        coalesce(u.rep_id, q.QuotaOwnerId) as rep_id, if(t.name like '%ramp%', 'ramped', 'full') as quota_type, q.StartDate as period_start_date,
        coalesce(q.PeriodEndDate__c, (q.StartDate + interval 3 months)::date - 1) as period_end_date, q.QuotaAmount as quota_amount,
        coalesce(upper(trim(q.CurrencyIsoCode)), 'USD') as currency_code
    from (from raw_salesforce.forecasting_quota qualify row_number() over (partition by Id order by _extracted_at desc) = 1) as q
    left join (select Id, lower(trim(last(DeveloperName order by _extracted_at))) as name from raw_salesforce.forecasting_type group by Id) as t on q.ForecastingTypeId = t.Id
    left join users as u on u.source_system = 'salesforce' and q.QuotaOwnerId = u.source_user_id
)
select
    q.rep_id, null::varchar as team, q.quota_type, q.period_start_date, q.period_end_date, d.fiscal_quarter, d.quarter_start_date, q.quota_amount, q.currency_code,
    round(q.quota_amount * r.rate_to_base, 2)::decimal(18, 2) as quota_amount_base,
    exists (
        from assignments as m
        where m.manager_id = q.rep_id and m.valid_from_date <= q.period_end_date and (m.valid_to_date is null or m.valid_to_date > q.period_start_date)
    ) as has_reports,
    'salesforce' as source_system
from told as q
inner join core.dim_dates as d on q.period_start_date = d.date_day
left join open_rates as r on q.currency_code = r.currency_code and q.period_start_date >= r.valid_from_date and q.period_start_date < coalesce(r.valid_to_date, 'infinity');

create table core.fct_forecast_calls as
with items as (
    select
        *, greatest(LastModifiedDate, SystemModstamp) as said_at, lag(_extracted_at) over (partition by Id order by _extracted_at) as previous_extracted_at,
        (select min(_extracted_at) from raw_salesforce.forecasting_item) as first_extracted_at
    from raw_salesforce.forecasting_item
),
calls as (
    select
        coalesce(u.rep_id, i.OwnerId) as rep_id, if(regexp_matches(lower(i.Scope), 'team|manager'), 'team', 'own') as scope, i.PeriodStartDate as period_start_date,
        i.CommitAmount as commit_amount, i.BestCaseAmount as best_case_amount, i.PipelineAmount as pipeline_amount, coalesce(upper(trim(i.CurrencyIsoCode)), 'USD') as currency_code,
        if(previous_extracted_at is null or said_at > previous_extracted_at, least(said_at, _extracted_at), _extracted_at) as submitted_at,
        if(_extracted_at <= first_extracted_at, said_at, _extracted_at) as learned_at
    from items as i left join users as u on u.source_system = 'salesforce' and i.OwnerId = u.source_user_id
)
select
    c.rep_id, c.scope, d.fiscal_quarter, d.quarter_start_date, c.period_start_date, c.commit_amount, c.best_case_amount, c.pipeline_amount, c.currency_code,
    round(c.commit_amount * r.rate_to_base, 2)::decimal(18, 2) as commit_amount_base,
    round(c.best_case_amount * r.rate_to_base, 2)::decimal(18, 2) as best_case_amount_base,
    round(c.pipeline_amount * r.rate_to_base, 2)::decimal(18, 2) as pipeline_amount_base,
    c.submitted_at, c.learned_at
from calls as c
inner join core.dim_dates as d on c.period_start_date = d.date_day
left join open_rates as r on c.currency_code = r.currency_code and c.submitted_at::date >= r.valid_from_date and c.submitted_at::date < coalesce(r.valid_to_date, 'infinity')
where c.submitted_at <= (select as_of_at from instants) and c.learned_at <= (select as_of_at from instants);

-- What deals are counted by: where each stage of theirs led, when they were open, in which periods they closed or were created.
create table core.fct_stage_entries as
with entries as (
    select s.*, count(*) filter (s.is_finished) over (partition by s.opportunity_id, s.pipeline, s.stage) as finished_stay_count
    from core.fct_stage_stays as s inner join core.fct_opportunities as d on s.opportunity_id = d.opportunity_id
    where s.outcome = 'open' and not d.is_deleted and d.merged_into_id is null and not d.is_excluded
    qualify s.is_first_entry
),
arrivals as (
    select opportunity_id, pipeline, stage_order, outcome, entered_at as arrived_at from core.fct_stage_stays where outcome = 'open'
    union all
    select opportunity_id, null, null, outcome, valid_from_at from core.fct_opportunity_states where outcome <> 'open'
),
fates as (
    select
        e.stay_id,
        min(a.arrived_at) filter (a.outcome = 'won' or (a.outcome = 'open' and a.pipeline = e.pipeline and a.stage_order > coalesce(o.stage_order, e.stage_order))) as reached_at,
        min(a.arrived_at) filter (a.outcome = 'lost') as lost_at
    from entries as e
    inner join arrivals as a on e.opportunity_id = a.opportunity_id and a.arrived_at > e.entered_at
    left join core.dim_stages as o on e.pipeline = o.pipeline and e.stage = o.stage and a.arrived_at >= o.valid_from_at and a.arrived_at < coalesce(o.valid_to_at, 'infinity')
    group by e.stay_id
)
select
    e.stay_id, e.opportunity_id, e.pipeline, e.stage, e.stage_order, e.entered_at, e.entered_date, e.fiscal_quarter, e.quarter_start_date, e.rep_id, e.team, e.segment,
    case
        when f.reached_at < coalesce(f.lost_at, 'infinity') then 'reached'
        when f.lost_at <= coalesce(f.reached_at, 'infinity') then 'lost'
        else 'open'
    end as fate,
    days(e.entered_at, coalesce(least(f.reached_at, f.lost_at), n.as_of_at)) as followed_days,
    days(e.entered_at, n.as_of_at) as known_days,
    e.finished_stay_count::integer as finished_stay_count
from entries as e cross join instants as n left join fates as f on e.stay_id = f.stay_id;

create table core.fct_open_periods as
with turns as (
    select
        opportunity_id, valid_from_at::date as from_date, is_open,
        lead(valid_from_at::date) over (partition by opportunity_id order by valid_from_at) as to_date
    from (
        select opportunity_id, valid_from_at, outcome = 'open' and not is_deleted and merged_into_id is null as is_open
        from core.fct_opportunity_states where not is_excluded
        qualify is_open is distinct from lag(is_open) over (partition by opportunity_id order by valid_from_at)
    )
),
numbered as (
    select *, sum((from_date > coalesce(date_before, '-infinity'))::integer) over (partition by opportunity_id order by from_date, to_date nulls last rows unbounded preceding) as period_number
    from (select *, lag(to_date) over (partition by opportunity_id order by from_date, to_date nulls last) as date_before from turns where is_open)
)
select
    opportunity_id, period_number::integer as period_number, min(from_date) as open_from_date,
    nullif(max(coalesce(to_date, 'infinity')), 'infinity') as open_to_date
from numbered group by opportunity_id, period_number;

create temp table excluded_losses as
select distinct lower(trim(reason)) as loss_reason from read_csv(getvariable('seeds') || '/excluded_loss_reasons.csv') where reason is not null;

create table core.fct_closings as
with closings as (
    select *
    from (
        select
            s.*, unnest(['quarter', 'month']) as period_type, unnest([d.quarter_start_date, d.month_start_date]) as period_start_date,
            unnest([d.quarter_end_date, last_day(d.date_day)]) as period_end_date, d.fiscal_quarter, d.quarter_start_date
        from core.fct_opportunity_states as s inner join core.dim_dates as d on s.booking_date = d.date_day
        where s.outcome <> 'open' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
    )
    where coalesce(valid_to_at, 'infinity') >= (period_end_date + 1)::timestamp
    qualify row_number() over (partition by opportunity_id, period_type, period_start_date order by outcome <> 'won', valid_from_at) = 1
)
select
    c.opportunity_id, c.period_type, c.period_start_date, c.period_end_date, c.fiscal_quarter, c.quarter_start_date, c.outcome, c.booking_date, c.credited_rep_id as rep_id,
    coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment, coalesce(i.type, 'unknown') as deal_type, c.loss_reason,
    c.outcome = 'lost' and coalesce(lower(trim(c.loss_reason)) in (from excluded_losses), false) as is_excluded_loss, c.amount, c.currency_code,
    round(coalesce(c.amount, 0) * coalesce(r.rate_to_base, o.rate_to_base, 0), 2)::decimal(18, 2) as amount_base,
    i.created_at::date as created_date, (c.booking_date - i.created_at::date)::integer as cycle_days, c.valid_from_at as recorded_at
from closings as c
inner join deals as i on c.opportunity_id = i.opportunity_id
left join rates as r on c.currency_code = r.currency_code and r.rate_type = 'dated' and c.booking_date >= r.valid_from_date and c.booking_date < coalesce(r.valid_to_date, 'infinity')
left join open_rates as o on c.currency_code = o.currency_code and c.booking_date >= o.valid_from_date and c.booking_date < coalesce(o.valid_to_date, 'infinity')
left join attributes as a on c.credited_rep_id = a.rep_id and c.booking_date >= a.valid_from_date and c.booking_date < coalesce(a.valid_to_date, 'infinity');

create table core.fct_bookings as
select opportunity_id, fiscal_quarter, quarter_start_date, booking_date, rep_id, team, segment, amount, currency_code, amount_base as won_amount_base
from core.fct_closings where period_type = 'quarter' and outcome = 'won';

create table core.fct_created_deals as
select
    o.opportunity_id, o.created_date, d.month_start_date, d.fiscal_quarter, d.quarter_start_date, s.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
    coalesce(o.type, 'unknown') as deal_type, o.outcome, o.outcome = 'lost' and coalesce(lower(trim(o.loss_reason)) in (from excluded_losses), false) as is_excluded_loss,
    o.amount, o.currency_code, o.amount_base, o.sales_cycle_days as cycle_days
from core.fct_opportunities as o
inner join core.dim_dates as d on o.created_date = d.date_day
inner join core.fct_opportunity_states as s on o.opportunity_id = s.opportunity_id and s.state_number = 1
left join attributes as a on s.rep_id = a.rep_id and o.created_date >= a.valid_from_date and o.created_date < coalesce(a.valid_to_date, 'infinity')
where not o.is_deleted and o.merged_into_id is null and not o.is_excluded;

-- What a quarter had won, and what of its quota people carried, day by day as known then; and by week.
create table core.fct_booking_changes as
with wins as (
    select
        s.opportunity_id, d.fiscal_quarter, d.quarter_start_date, s.credited_rep_id as rep_id, s.amount, s.currency_code, s.booking_date, s.valid_from_at::date as from_date,
        if(s.valid_to_at < (d.quarter_end_date + 1)::timestamp, s.valid_to_at::date, null) as to_date
    from core.fct_opportunity_states as s inner join core.dim_dates as d on s.booking_date = d.date_day
    where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
    qualify to_date is not null or row_number() over (partition by s.opportunity_id, d.quarter_start_date, to_date is null order by s.valid_from_at) = 1
),
changes as (
    select
        w.opportunity_id, w.fiscal_quarter, w.quarter_start_date, unnest([w.from_date, w.to_date]) as change_date, w.rep_id,
        coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
        unnest([1, -1]) * round(coalesce(w.amount, 0) * coalesce(r.rate_to_base, o.rate_to_base, 0), 2)::decimal(18, 2) as amount
    from wins as w
    left join rates as r on w.currency_code = r.currency_code and r.rate_type = 'dated' and w.booking_date >= r.valid_from_date and w.booking_date < coalesce(r.valid_to_date, 'infinity')
    left join open_rates as o on w.currency_code = o.currency_code and w.booking_date >= o.valid_from_date and w.booking_date < coalesce(o.valid_to_date, 'infinity')
    left join attributes as a on w.rep_id = a.rep_id and w.booking_date >= a.valid_from_date and w.booking_date < coalesce(a.valid_to_date, 'infinity')
)
select * exclude (amount), sum(amount)::decimal(18, 2) as won_amount_base
from changes where change_date is not null group by all having sum(amount) <> 0;

create temp table quarters as
select distinct fiscal_quarter, quarter_start_date, quarter_end_date from core.dim_dates;

create table core.fct_quota_periods as
with spans as (
    select distinct
        unnest(['quarter', 'month']) as period_type, unnest([d.quarter_start_date, d.month_start_date]) as period_start_date,
        unnest([d.quarter_end_date, last_day(d.date_day)]) as period_end_date, d.fiscal_quarter, d.quarter_start_date
    from core.dim_dates as d
    where d.quarter_end_date >= (select min(period_start_date) from core.fct_quotas) and d.quarter_start_date <= (select max(period_end_date) from core.fct_quotas)
),
stints as (
    select rep_id, coalesce(team, 'unassigned') as team, coalesce(segment, 'unassigned') as segment, valid_from_date as from_date, if(valid_to_date <= as_of_date, valid_to_date - 1, date '9999-12-31') as to_date
    from assignments, instants where status <> 'left' and valid_from_date <= as_of_date
    union all
    select distinct rep_id, 'unassigned', 'unassigned', date '1900-01-01', date '9999-12-31' from core.fct_quotas anti join assignments using (rep_id)
),
quotas as (
    select rep_id, quota_type, period_start_date as quota_start_date, period_end_date as quota_end_date, coalesce(quota_amount_base, 0) as amount
    from core.fct_quotas where not has_reports
),
-- where the ramped version takes the full quota: the days before, between and after somebody's ramped ones
unramped as (
    select rep_id, unnest([coalesce(last_end + 1, date '1900-01-01'), if(is_last, latest_end + 1, null)]) as from_date, unnest([quota_start_date - 1, date '9999-12-31']) as to_date
    from (
        select
            *, max(quota_end_date) over (one rows between unbounded preceding and 1 preceding) as last_end,
            max(quota_end_date) over (partition by rep_id) as latest_end, row_number() over one = count(*) over (partition by rep_id) as is_last
        from quotas where quota_type = 'ramped'
        window one as (partition by rep_id order by quota_start_date, quota_end_date)
    )
),
counted as (
    select *, quota_start_date as from_date, quota_end_date as to_date from quotas
    union all
    select q.* replace ('ramped' as quota_type), greatest(q.quota_start_date, u.from_date), least(q.quota_end_date, u.to_date)
    from quotas as q left join unramped as u on q.rep_id = u.rep_id and u.from_date <= u.to_date and u.from_date <= q.quota_end_date and u.to_date >= q.quota_start_date
    where q.quota_type = 'full' and (u.rep_id is not null or q.rep_id not in (select rep_id from unramped))
)
select
    c.rep_id, p.period_type, p.period_start_date, p.period_end_date, p.fiscal_quarter, p.quarter_start_date, s.team, s.segment,
    coalesce(sum(part) filter (c.quota_type = 'full'), 0)::decimal(18, 2) as full_quota_amount, coalesce(sum(part) filter (c.quota_type = 'ramped'), 0)::decimal(18, 2) as ramped_quota_amount
from counted as c
inner join stints as s on c.rep_id = s.rep_id and c.from_date <= s.to_date and c.to_date >= s.from_date
inner join spans as p on p.period_start_date <= least(c.to_date, s.to_date) and p.period_end_date >= greatest(c.from_date, s.from_date),
    lateral (select
        round(c.amount * (least(c.to_date, s.to_date, p.period_end_date) - c.quota_start_date + 1) / (c.quota_end_date - c.quota_start_date + 1), 2)
        - round(c.amount * (greatest(c.from_date, s.from_date, p.period_start_date) - c.quota_start_date) / (c.quota_end_date - c.quota_start_date + 1), 2) as part)
group by all;

create table core.fct_quota_changes as
with parts as (
    select
        s.rep_id, p.fiscal_quarter, p.quarter_start_date, coalesce(s.team, 'unassigned') as team, coalesce(s.segment, 'unassigned') as segment,
        s.valid_from_date as come_date, if(s.valid_to_date <= n.as_of_date, s.valid_to_date, null) as go_date, q.period_start_date, q.quota_amount_base,
        q.period_end_date - q.period_start_date + 1 as days, greatest(q.period_start_date, p.quarter_start_date, come_date) as start_date, least(q.period_end_date, p.quarter_end_date) + 1 as end_date
    from assignments as s cross join instants as n
    inner join core.fct_quotas as q on s.rep_id = q.rep_id and q.period_end_date >= s.valid_from_date
    inner join quarters as p on q.period_start_date <= p.quarter_end_date and q.period_end_date >= p.quarter_start_date and p.quarter_end_date >= s.valid_from_date
    where s.status <> 'left' and s.valid_from_date <= n.as_of_date and q.quota_type = 'full' and not q.has_reports
),
amounts as (
    select
        *, round(quota_amount_base * (start_date - period_start_date) / days, 2)::decimal(18, 2) as by_start, round(quota_amount_base * (end_date - period_start_date) / days, 2)::decimal(18, 2) as by_end,
        round(quota_amount_base * (greatest(go_date, start_date) - period_start_date) / days, 2)::decimal(18, 2) as by_going
    from parts
),
changes as (
    select rep_id, fiscal_quarter, quarter_start_date, team, segment, unnest([come_date, if(go_date < end_date, go_date, null)]) as change_date, unnest([by_end - by_start, by_going - by_end]) as amount
    from amounts
    union all
    select rep_id, fiscal_quarter, quarter_start_date, team, segment, date '1900-01-01', full_quota_amount
    from core.fct_quota_periods anti join assignments using (rep_id) where period_type = 'quarter'
)
select * exclude (amount), sum(amount)::decimal(18, 2) as full_quota_amount
from changes where change_date is not null group by all having sum(amount) <> 0;

create table core.fct_weekly_quotas as
with looked_at as (
    select
        *, date_trunc('week', lag(quarter_start_date) over (order by quarter_start_date))::date as first_week_start_date,
        date_trunc('week', quarter_end_date + 1)::date - 7 as last_week_start_date
    from quarters
),
weekly as (
    select
        c.rep_id, c.team, c.segment, q.fiscal_quarter, q.quarter_start_date, q.last_week_start_date,
        greatest(date_trunc('week', c.change_date)::date, q.first_week_start_date) as week_start_date, sum(c.quota) as quota, sum(c.won) as won
    from (
        select rep_id, team, segment, quarter_start_date, change_date, full_quota_amount as quota, 0 as won from core.fct_quota_changes
        union all
        select rep_id, team, segment, quarter_start_date, change_date, 0, won_amount_base from core.fct_booking_changes
    ) as c
    inner join looked_at as q on c.quarter_start_date = q.quarter_start_date
    group by all
),
running as (
    select
        * replace (sum(quota) over one as quota, sum(won) over one as won),
        unnest(range(
            greatest(week_start_date, (select date_trunc('week', history_starts_at)::date from instants))::timestamp,
            least(coalesce(lead(week_start_date) over one, 'infinity'), last_week_start_date + 7, (select date_trunc('week', as_of_date)::date + 7 from instants))::timestamp,
            interval 7 days
        ))::date as this_week_start_date
    from weekly
    window one as (partition by rep_id, team, segment, quarter_start_date order by week_start_date)
)
select
    rep_id, team, segment, this_week_start_date as week_start_date, this_week_start_date + 6 as week_end_date, fiscal_quarter as target_fiscal_quarter,
    quarter_start_date as target_quarter_start_date, quota::decimal(18, 2) as quota_amount, won::decimal(18, 2) as won_amount
from running where quota <> 0 or won <> 0;

create table core.fct_weekly_pipeline as
with flows as (
    select
        rep_id, team, segment, week_start_date, target_fiscal_quarter, target_quarter_start_date, sum(amount_base) as net_amount,
        sum(case when movement_order in (2, 4, 7) then 1 when movement_order in (1, 3, 8) then -1 else 0 end) as net_count
    from core.fct_pipeline_movements group by all
),
running as (
    select
        *, sum(net_amount) over one as ending_amount, sum(net_count) over one as open_deal_count,
        unnest(if(
            ending_amount = 0 and open_deal_count = 0, [week_start_date],
            range(week_start_date::timestamp, coalesce(lead(week_start_date) over one, (select date_trunc('week', as_of_date)::date + 7 from instants))::timestamp, interval 7 days)::date[]
        )) as this_week_start_date
    from flows
    window one as (partition by rep_id, team, segment, target_fiscal_quarter order by week_start_date)
)
select
    r.rep_id, r.team, r.segment, d.date_day as week_start_date, d.week_end_date, d.week_fiscal_quarter as fiscal_quarter, d.week_quarter_start_date as quarter_start_date,
    r.target_fiscal_quarter, r.target_quarter_start_date, if(d.date_day = r.week_start_date, ending_amount - net_amount, ending_amount)::decimal(18, 2) as starting_amount,
    ending_amount::decimal(18, 2) as ending_amount, open_deal_count::integer as open_deal_count
from running as r inner join core.dim_dates as d on r.this_week_start_date = d.date_day;

-- People: a spell's tenure months, and who stood, came, moved and left in each quarter.
create table core.fct_rep_tenure_months as
with spells as (
    select
        rep_id, spell_number, any_value(as_of_date) as as_of_date, any_value(history_starts_at)::date as history_start_date, min(valid_from_date) filter (role = 'rep') as start_date,
        max(spell_end_date) filter (spell_end_date <= as_of_date) as spell_end_date, max(coalesce(valid_to_date, 'infinity')) filter (role = 'rep') as role_to_date,
        arg_min({'team': team, 'segment': segment}, valid_from_date) filter (role = 'rep') as place
    from assignments, instants where status <> 'left' and valid_from_date <= as_of_date
    group by rep_id, spell_number having start_date is not null
),
tenures as (
    select
        s.rep_id, s.spell_number, s.as_of_date, s.start_date,
        case
            when s.role_to_date <= s.as_of_date and s.role_to_date <= coalesce(s.spell_end_date, 'infinity') then 'changed_role'
            when s.spell_end_date is not null then 'left'
        end as end_kind,
        case end_kind when 'left' then s.spell_end_date when 'changed_role' then s.role_to_date - 1 end as end_date,
        if(end_kind = 'left', coalesce(l.end_reason, 'other'), null) as end_reason, coalesce(s.place.team, 'unassigned') as team, coalesce(s.place.segment, 'unassigned') as segment,
        d.fiscal_quarter as hire_quarter, d.quarter_start_date as hire_quarter_start_date, s.history_start_date, s.start_date <= s.history_start_date as is_left_truncated
    from spells as s
    inner join core.dim_dates as d on s.start_date = d.date_day
    left join (select rep_id, spell_number, max(end_reason) as end_reason from assignments group by all) as l on s.rep_id = l.rep_id and s.spell_number = l.spell_number
),
months as (
    select *, (start_date + to_months(tenure_month - 1))::date as month_start_date, (start_date + to_months(tenure_month))::date - 1 as month_end_date
    from (select *, unnest(range(1, date_diff('month', start_date, coalesce(end_date, as_of_date)) + 2))::integer as tenure_month from tenures)
    where month_start_date <= coalesce(end_date, as_of_date)
),
quotas as (
    select rep_id, period_start_date, period_end_date, quota_amount_base as amount, period_end_date - period_start_date + 1 as days
    from core.fct_quotas semi join tenures using (rep_id) where quota_type = 'full' and not has_reports
),
-- the rep's own, and for whom those do not cover a month whole the median of the segment's
own as (
    select m.rep_id, m.spell_number, m.tenure_month, sum(q.amount * overlap / q.days) as amount, sum(overlap) as covered
    from months as m inner join quotas as q on m.rep_id = q.rep_id and q.period_start_date <= m.month_end_date and q.period_end_date >= m.month_start_date,
        lateral (select least(q.period_end_date, m.month_end_date) - greatest(q.period_start_date, m.month_start_date) + 1 as overlap)
    group by all
),
stand_ins as (
    select m.rep_id, m.spell_number, m.tenure_month, sum(q.amount * overlap / q.days) as amount, sum(overlap) as covered
    from months as m
    inner join attributes as a on m.rep_id = a.rep_id and m.month_start_date >= a.valid_from_date and m.month_start_date < coalesce(a.valid_to_date, 'infinity')
    inner join (
        select a.segment, q.period_start_date, q.period_end_date, q.days, median(q.amount) as amount
        from quotas as q inner join attributes as a on q.rep_id = a.rep_id and q.period_start_date >= a.valid_from_date and q.period_start_date < coalesce(a.valid_to_date, 'infinity')
        group by all
    ) as q on a.segment = q.segment and q.period_start_date <= m.month_end_date and q.period_end_date >= m.month_start_date,
        lateral (select least(q.period_end_date, m.month_end_date) - greatest(q.period_start_date, m.month_start_date) + 1 as overlap)
    group by all
),
won as (
    select m.rep_id, m.spell_number, m.tenure_month, sum(b.won_amount_base) as amount
    from months as m
    inner join core.fct_opportunities as o on m.rep_id = o.first_pipeline_rep_id
    inner join core.fct_bookings as b on o.opportunity_id = b.opportunity_id and b.booking_date >= m.month_start_date and b.booking_date <= least(m.month_end_date, m.end_date)
    where b.won_amount_base > 0
    group by all
),
measured as (
    select
        m.*, m.month_end_date <= m.as_of_date as is_finished, is_finished and m.month_end_date <= coalesce(m.end_date, 'infinity') as is_worked_whole,
        coalesce(m.end_date between m.month_start_date and m.month_end_date, false) as is_last_month, coalesce(w.amount, 0)::decimal(18, 2) as won,
        round(case when o.covered >= m.month_end_date - m.month_start_date + 1 then o.amount when s.covered >= m.month_end_date - m.month_start_date + 1 then s.amount end, 2)::decimal(18, 2) as quota
    from months as m
    left join won as w using (rep_id, spell_number, tenure_month)
    left join own as o using (rep_id, spell_number, tenure_month)
    left join stand_ins as s using (rep_id, spell_number, tenure_month)
),
trailed as (
    select *, sum(won) over three as trailing_won, if(count(quota) over three = 3, nullif(sum(quota) over three, 0), null) as trailing_quota, is_worked_whole and tenure_month >= 3 as is_judged
    from measured
    window three as (partition by rep_id, spell_number order by tenure_month rows 2 preceding)
)
select
    rep_id, spell_number, tenure_month, month_start_date, month_end_date, start_date, end_date, end_kind, end_reason, hire_quarter, hire_quarter_start_date, history_start_date, team, segment,
    is_left_truncated, is_finished, is_worked_whole, is_last_month, won as won_amount_base, quota as full_quota_amount_base, trailing_won::decimal(18, 2) as trailing_won_amount_base,
    trailing_quota::decimal(18, 2) as trailing_full_quota_amount_base, is_judged and trailing_quota is not null as is_measured,
    coalesce(is_judged and trailing_won >= 0.8 * trailing_quota, false) as is_on_target
from trailed;

create table core.fct_rep_quarters as
with seasons as (
    select q.*, least(q.quarter_end_date, n.as_of_date) as last_date, least(q.quarter_end_date, n.as_of_date) + 1 as next_date, q.quarter_end_date <= n.as_of_date as is_complete
    from quarters as q cross join instants as n where q.quarter_end_date >= n.history_starts_at::date and q.quarter_start_date <= n.as_of_date
),
stints as (
    select
        rep_id, spell_number, row_number() over one as assignment_number, role = 'rep' as is_rep, coalesce(team, 'unassigned') as team, coalesce(segment, 'unassigned') as segment,
        if(spell_start_date <= history_starts_at::date, date '1900-01-01', spell_start_date) as joined_date, if(spell_end_date <= as_of_date, spell_end_date, null) as left_date,
        if(assignment_number = 1, joined_date, valid_from_date) as from_date, lead(valid_from_date) over one as next_from_date,
        coalesce(next_from_date, left_date + 1) as to_date, next_from_date is null and left_date is not null as is_left
    from assignments, instants where status <> 'left' and valid_from_date <= as_of_date
    window one as (partition by rep_id, spell_number order by valid_from_date)
),
neighbours as (
    select
        s.*, coalesce(e.end_reason, 'other') as end_reason, lag(if(is_rep, {'segment': segment, 'team': team}, null)) over one as before, lead(if(is_rep, {'segment': segment, 'team': team}, null)) over one as after,
        max(left_date) filter (is_left and is_rep) over (partition by s.rep_id, s.spell_number) as rep_left_date
    from stints as s left join (select rep_id, spell_number, max(end_reason) as end_reason from assignments group by all) as e on s.rep_id = e.rep_id and s.spell_number = e.spell_number
    window one as (partition by s.rep_id, s.spell_number order by assignment_number)
),
-- the reps that together made the first half of what was won in the four quarters before, largest first
top_tier as (
    select quarter_start_date, rep_id
    from (
        select q.quarter_start_date, b.rep_id, sum(b.won_amount_base) as won
        from seasons as q
        inner join core.fct_bookings as b on b.quarter_start_date < q.quarter_start_date and b.quarter_start_date >= q.quarter_start_date - interval 12 months
        where b.quarter_start_date in (select quarter_start_date from seasons) and b.rep_id <> 'unassigned' and b.won_amount_base > 0
        group by all
    )
    qualify sum(won) over (partition by quarter_start_date order by won desc, rep_id rows unbounded preceding) - won < 0.5 * sum(won) over (partition by quarter_start_date)
),
counted as (
    select
        s.*, q.* exclude (next_date), t.rep_id is not null as is_top_tier, s.rep_left_date <= q.last_date as has_left,
        (s.from_date <= q.quarter_start_date and coalesce(s.to_date, 'infinity') > q.quarter_start_date and s.joined_date < q.quarter_start_date)::integer as headcount_start,
        (s.assignment_number = 1 and s.from_date between q.quarter_start_date and q.last_date)::integer as joined_count,
        s.assignment_number > 1 and s.from_date - 1 between q.quarter_start_date and q.last_date as is_moved_in,
        not s.is_left and coalesce(s.to_date - 1 between q.quarter_start_date and q.last_date, false) as is_moved_out,
        (s.is_left and s.left_date between q.quarter_start_date and q.last_date)::integer as left_count,
        (s.from_date <= q.next_date and coalesce(s.to_date, 'infinity') > q.next_date and s.joined_date < q.next_date)::integer as headcount_end
    from neighbours as s
    inner join seasons as q on s.from_date <= q.next_date and q.quarter_start_date < coalesce(s.to_date, 'infinity')
    left join top_tier as t on q.quarter_start_date = t.quarter_start_date and s.rep_id = t.rep_id
    where s.is_rep
)
select
    rep_id, spell_number, assignment_number::integer as assignment_number, team, segment, fiscal_quarter, quarter_start_date, quarter_end_date, is_complete, headcount_start, joined_count,
    (is_moved_in and before is null)::integer as moved_in_company_count, (is_moved_out and after is null)::integer as moved_out_company_count,
    (is_moved_in and before.segment is distinct from segment)::integer as moved_in_segment_count, (is_moved_out and after.segment is distinct from segment)::integer as moved_out_segment_count,
    (is_moved_in and before.team is distinct from team)::integer as moved_in_team_count, (is_moved_out and after.team is distinct from team)::integer as moved_out_team_count,
    moved_in_company_count as moved_in_rep_count, moved_out_company_count as moved_out_rep_count, left_count,
    if(end_reason = 'voluntary', left_count, 0) as voluntary_left_count, if(end_reason = 'involuntary', left_count, 0) as involuntary_left_count,
    if(end_reason not in ('voluntary', 'involuntary'), left_count, 0) as other_left_count, if(is_top_tier, left_count, 0) as top_tier_left_count,
    if(has_left, 0, headcount_start) as retained_count, headcount_end
from counted
where headcount_start + joined_count + left_count + headcount_end + moved_in_company_count + moved_out_company_count + moved_in_segment_count + moved_out_segment_count
    + moved_in_team_count + moved_out_team_count > 0;

-- Where a rep stood, by number; what was done for each account and week from there.
create temp table places as
select (row_number() over (order by rep_id, valid_from_date))::smallint as place, * from attributes
union all
select 0, 'unassigned', 'unassigned', 'unassigned', null, null;

create temp table account_touches as
select coalesce(p.place, 0::smallint) as place, a.week_start_date, a.type as activity_type, a.account_id, count(*) as completed_count, count(*) filter (a.is_two_way) as two_way_count
from core.fct_activities as a
left join places as p on a.rep_id = p.rep_id and a.activity_date >= p.valid_from_date and a.activity_date < coalesce(p.valid_to_date, 'infinity')
where a.is_completed and a.type <> 'task'
group by all;

create temp table deal_touches as
select distinct coalesce(p.place, 0::smallint) as place, a.week_start_date, a.type as activity_type, a.opportunity_id
from core.fct_activities as a
inner join core.fct_open_periods as o on a.opportunity_id = o.opportunity_id and a.activity_date >= o.open_from_date and a.activity_date <= coalesce(o.open_to_date, 'infinity')
left join places as p on a.rep_id = p.rep_id and a.activity_date >= p.valid_from_date and a.activity_date < coalesce(p.valid_to_date, 'infinity')
where a.is_completed and a.type <> 'task';

create table core.fct_rep_activity_weeks as
select
    p.rep_id, p.team, p.segment, t.week_start_date, t.activity_type, sum(t.completed_count)::integer as completed_count, sum(t.two_way_count)::integer as two_way_count
from (select place, week_start_date, activity_type, sum(completed_count) as completed_count, sum(two_way_count) as two_way_count from account_touches group by all) as t
inner join places as p using (place)
group by all;

create temp table working_days as
select r.rep_id, coalesce(r.role, 'rep') as role, coalesce(r.team, 'unassigned') as team, coalesce(r.segment, 'unassigned') as segment, d.date_day, d.week_start_date, d.fiscal_quarter, d.quarter_start_date
from assignments as r cross join instants as n
inner join core.dim_dates as d on d.date_day >= greatest(r.valid_from_date, n.history_starts_at::date) and d.date_day < least(coalesce(r.valid_to_date, 'infinity'), n.as_of_date + 1)
where r.status = 'active' and d.is_working_day;

-- Leading indicators. A level is a row of this table: its name, and the grouping set that stands for it.
create table leading_indicators.weekly_pipeline_waterfall as
with cells as (
    select
        unnest(['company', 'segment', 'team', 'rep']) as level,
        unnest(['all', segment, team, rep_id]) as level_id,
        unnest([false, crosses_segment, crosses_team, crosses_rep]) as crosses,
        week_start_date, target_fiscal_quarter, target_quarter_start_date, movement, amount_base
    from (
        select week_start_date, target_fiscal_quarter, target_quarter_start_date, rep_id, team, segment, movement, crosses_rep, crosses_team, crosses_segment, sum(amount_base) as amount_base
        from core.fct_pipeline_movements group by all
    )
),
flows as (
    select
        level, level_id, week_start_date, target_fiscal_quarter, target_quarter_start_date,
        coalesce(sum(amount_base) filter (movement = 'created'), 0) as created_amount,
        coalesce(sum(amount_base) filter (movement = 'reopened'), 0) as reopened_amount,
        coalesce(sum(amount_base) filter (movement = 'restored'), 0) as restored_amount,
        coalesce(sum(amount_base) filter (movement = 'pulled_in'), 0) as pulled_in_amount,
        coalesce(sum(amount_base) filter (movement = 'pulled_out'), 0) as pulled_out_amount,
        coalesce(sum(amount_base) filter (movement = 'pushed_out'), 0) as pushed_out_amount,
        coalesce(sum(amount_base) filter (movement = 'pushed_in'), 0) as pushed_in_amount,
        coalesce(sum(amount_base) filter (movement = 'reassigned_in'), 0) as reassigned_in_amount,
        coalesce(sum(amount_base) filter (movement = 'reassigned_out'), 0) as reassigned_out_amount,
        coalesce(sum(amount_base) filter (movement = 'increased'), 0) as increased_amount,
        coalesce(sum(amount_base) filter (movement = 'decreased'), 0) as decreased_amount,
        coalesce(sum(amount_base) filter (movement = 'currency'), 0) as currency_amount,
        coalesce(sum(amount_base) filter (movement = 'won'), 0) as won_amount,
        coalesce(sum(amount_base) filter (movement = 'lost'), 0) as lost_amount,
        coalesce(sum(amount_base) filter (movement = 'deleted'), 0) as deleted_amount,
        coalesce(sum(amount_base) filter (movement = 'merged'), 0) as merged_amount,
        coalesce(sum(amount_base) filter (movement = 'withdrawn'), 0) as withdrawn_amount,
        sum(amount_base) as net_amount
    from cells
    where movement not in ('reassigned_in', 'reassigned_out') or crosses
    group by all
),
running as (
    select
        *,
        sum(net_amount) over one as ending_amount,
        -- quiet weeks carry what stood there, to the next movement or to now
        unnest(if(
            sum(net_amount) over one = 0, [week_start_date],
            range(week_start_date::timestamp, coalesce(lead(week_start_date) over one, (select date_trunc('week', as_of_date)::date + 7 from instants))::timestamp, interval 7 days)::date[]
        )) as this_week_start_date
    from flows
    window one as (partition by level, level_id, target_fiscal_quarter order by week_start_date)
)
select
    level, level_id, this_week_start_date as week_start_date, d.week_end_date, d.week_fiscal_quarter as fiscal_quarter, d.week_quarter_start_date as quarter_start_date,
    target_fiscal_quarter, target_quarter_start_date,
    ((this_week_start_date - date_trunc('week', target_quarter_start_date)::date) / 7)::integer
        + if(this_week_start_date >= date_trunc('week', target_quarter_start_date)::date, 1, 0) as week_of_quarter,
    d.week_end_date <= (select lock_date from instants) as is_complete,
    if(d.date_day = r.week_start_date, ending_amount - net_amount, ending_amount)::decimal(18, 2) as starting_amount,
    if(d.date_day = r.week_start_date, columns(r.* exclude (level, level_id, week_start_date, target_fiscal_quarter, target_quarter_start_date, net_amount, ending_amount, this_week_start_date)), 0)::decimal(18, 2),
    ending_amount::decimal(18, 2) as ending_amount
from running as r inner join core.dim_dates as d on r.this_week_start_date = d.date_day;

create table leading_indicators.weekly_pipeline_creation as
with entries as (
    select
        m.week_start_date, m.rep_id, m.team, m.segment, coalesce(o.lead_source, 'unknown') as lead_source, coalesce(o.type, 'unknown') as deal_type,
        coalesce(o.is_self_sourced, false) as is_self_sourced, count(*) as deals, sum(m.amount_base) as amount
    from core.fct_pipeline_movements as m inner join core.fct_opportunities as o on m.opportunity_id = o.opportunity_id
    where m.movement = 'created' group by all
)
select
    l.level, l.level_id, l.week_start_date, d.week_end_date, d.week_fiscal_quarter as fiscal_quarter, d.week_quarter_start_date as quarter_start_date, d.week_of_quarter,
    d.week_end_date <= (select lock_date from instants) as is_complete, l.lead_source, l.deal_type, l.is_self_sourced,
    sum(l.deals)::bigint as created_deal_count, sum(l.amount)::decimal(18, 2) as created_amount
from (select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment) from entries) as l
inner join core.dim_dates as d on l.week_start_date = d.date_day
group by all;

create table leading_indicators.won_amount_reconciliation as
with moved as (
    select opportunity_id, target_fiscal_quarter as fiscal_quarter, target_quarter_start_date as quarter_start_date, -sum(amount_base) as amount
    from core.fct_pipeline_movements where movement = 'won' group by all
)
select
    o.opportunity_id, coalesce(b.fiscal_quarter, m.fiscal_quarter) as fiscal_quarter, coalesce(b.quarter_start_date, m.quarter_start_date) as quarter_start_date,
    coalesce(b.won_amount_base, 0)::decimal(18, 2) as booked_amount, coalesce(m.amount, 0)::decimal(18, 2) as waterfall_won_amount,
    (coalesce(b.won_amount_base, 0) - coalesce(m.amount, 0))::decimal(18, 2) as difference_amount,
    case
        when b.opportunity_id is null then 'no longer won at the end of the quarter'
        when not o.was_ever_in_pipeline then 'never in pipeline'
        when m.opportunity_id is null then 'won without leaving pipeline in the quarter'
        else 'edited after close'
    end as reason
from core.fct_bookings as b full join moved as m on b.opportunity_id = m.opportunity_id and b.quarter_start_date = m.quarter_start_date
inner join core.fct_opportunities as o on o.opportunity_id = coalesce(b.opportunity_id, m.opportunity_id)
where coalesce(b.won_amount_base, 0) <> coalesce(m.amount, 0);

create temp macro elapsed_share(share, variance, sign) as
if(share > 1e-12 and share < 1e0 - 1e-12,
    1e0 - power(1e0 - share, exp(sign * 1.959963984540054e0 * sqrt(greatest(variance, 0e0)) / (-(1e0 - share) * ln(1e0 - share)))), null);

create temp macro wilson(successes, n, sign) as
(2e0 * successes + 1.959963984540054e0 * 1.959963984540054e0 + sign * 1.959963984540054e0
    * sqrt(1.959963984540054e0 * 1.959963984540054e0 + 4e0 * successes * (n - successes) / nullif(n, 0))) / (2e0 * (n + 1.959963984540054e0 * 1.959963984540054e0));

create table leading_indicators.stage_conversion as
with members as (
    select
        unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, pipeline, stage, fiscal_quarter, quarter_start_date,
        opportunity_id, stage_order, (fate = 'reached')::integer as is_reached, (fate = 'lost')::integer as is_lost, (fate = 'open')::integer as is_open, followed_days, known_days,
        case when followed_days <= 30 then 30 when followed_days <= 60 then 60 when followed_days <= 90 then 90 else 1000000 end as horizon
    from core.fct_stage_entries
),
cells as (
    select
        level, level_id, pipeline, stage, quarter_start_date, min(fiscal_quarter) as fiscal_quarter, min(stage_order) as stage_order, count(*) as entered_count,
        sum(is_reached) as reached_count, sum(is_lost) as lost_count, max(known_days) as known_days, max(followed_days) as ever_days,
        min(followed_days) filter (is_open = 1) as first_open_days, row_number() over () as cell
    from members group by all
),
numbered as (
    select c.cell, m.* from members as m
    inner join cells as c on m.level = c.level and m.level_id = c.level_id and m.pipeline = c.pipeline and m.stage = c.stage and m.quarter_start_date = c.quarter_start_date
),
steps as (
    select cell, horizon, censored_before_count, count(*) as exit_count, sum(is_reached) as event_count, sum(is_lost) as competing_count
    from (
        select cell, horizon, is_reached, is_lost, is_open,
            sum(is_open) over (partition by cell order by followed_days, is_open rows unbounded preceding) - is_open as censored_before_count
        from numbered
    )
    group by all
),
risks as (
    select
        *,
        sum(exit_count) over (partition by cell) + exit_count
        - sum(exit_count) over (partition by cell order by horizon, censored_before_count rows unbounded preceding) as at_risk_count
    from steps
),
survivals as (
    select
        *,
        exp(coalesce(sum(if(event_count + competing_count < at_risk_count, ln(1e0 - 1e0 * (event_count + competing_count) / at_risk_count), -1e3))
            over (partition by cell order by horizon, censored_before_count rows between unbounded preceding and 1 preceding), 0e0)) as survival_before
    from risks where event_count + competing_count > 0
),
incidences as (
    select
        *,
        sum(survival_before * event_count / at_risk_count) over (partition by cell order by horizon, censored_before_count rows unbounded preceding) as incidence,
        coalesce(1e0 * (event_count + competing_count) / nullif(1e0 * at_risk_count * (at_risk_count - (event_count + competing_count)), 0e0), 0e0) as exit_spread,
        survival_before * event_count / (1e0 * at_risk_count * at_risk_count) as event_spread
    from survivals
),
curves as (
    select
        cell, horizon, censored_before_count, incidence,
        incidence * incidence * sum(exit_spread) over one - 2e0 * incidence * sum(incidence * exit_spread + event_spread) over one
        + sum(incidence * incidence * exit_spread + 2e0 * incidence * event_spread + survival_before * event_spread * (at_risk_count - event_count) / at_risk_count) over one as variance
    from incidences
    window one as (partition by cell order by horizon, censored_before_count rows unbounded preceding)
),
estimates as (
    select
        cell,
        arg_max({'share': incidence, 'variance': variance}, (horizon, censored_before_count)) filter (horizon <= 30) as by_30,
        arg_max({'share': incidence, 'variance': variance}, (horizon, censored_before_count)) filter (horizon <= 60) as by_60,
        arg_max({'share': incidence, 'variance': variance}, (horizon, censored_before_count)) filter (horizon <= 90) as by_90,
        arg_max({'share': incidence, 'variance': variance}, (horizon, censored_before_count)) as ever
    from curves group by cell
),
paces as (
    select n.cell, count(*) as stays, quantile_cont(s.days_in_stage, [0.5, 0.75]) as quantiles
    from numbered as n inner join core.fct_stage_stays as s on n.opportunity_id = s.opportunity_id and n.pipeline = s.pipeline and n.stage = s.stage
    where s.outcome = 'open' and s.is_finished
    group by n.cell
)
select
    c.level, c.level_id, c.pipeline, c.stage, c.stage_order::integer as stage_order, c.fiscal_quarter, c.quarter_start_date,
    c.entered_count, c.reached_count::bigint as reached_count, c.lost_count::bigint as lost_count, (c.entered_count - c.reached_count - c.lost_count)::bigint as open_count,
    (1e0 * c.reached_count / nullif(c.reached_count + c.lost_count, 0))::decimal(9, 6) as conversion_rate,
    wilson(c.reached_count, c.reached_count + c.lost_count, -1)::decimal(9, 6) as conversion_rate_low,
    wilson(c.reached_count, c.reached_count + c.lost_count, 1)::decimal(9, 6) as conversion_rate_high,
    if(known_30, coalesce(by_30.share, 0), null)::decimal(9, 6) as conversion_rate_adjusted_30d,
    if(known_30, elapsed_share(by_30.share, by_30.variance, -1), null)::decimal(9, 6) as conversion_rate_adjusted_30d_low,
    if(known_30, elapsed_share(by_30.share, by_30.variance, 1), null)::decimal(9, 6) as conversion_rate_adjusted_30d_high,
    if(known_60, coalesce(by_60.share, 0), null)::decimal(9, 6) as conversion_rate_adjusted_60d,
    if(known_60, elapsed_share(by_60.share, by_60.variance, -1), null)::decimal(9, 6) as conversion_rate_adjusted_60d_low,
    if(known_60, elapsed_share(by_60.share, by_60.variance, 1), null)::decimal(9, 6) as conversion_rate_adjusted_60d_high,
    if(known_90, coalesce(by_90.share, 0), null)::decimal(9, 6) as conversion_rate_adjusted_90d,
    if(known_90, elapsed_share(by_90.share, by_90.variance, -1), null)::decimal(9, 6) as conversion_rate_adjusted_90d_low,
    if(known_90, elapsed_share(by_90.share, by_90.variance, 1), null)::decimal(9, 6) as conversion_rate_adjusted_90d_high,
    coalesce(ever.share, 0)::decimal(9, 6) as conversion_rate_adjusted_ever,
    elapsed_share(ever.share, ever.variance, -1)::decimal(9, 6) as conversion_rate_adjusted_ever_low,
    elapsed_share(ever.share, ever.variance, 1)::decimal(9, 6) as conversion_rate_adjusted_ever_high,
    c.ever_days::decimal(18, 4) as ever_days, coalesce(p.stays, 0)::bigint as finished_stay_count,
    p.quantiles[1]::decimal(18, 4) as median_days_in_stage, p.quantiles[2]::decimal(18, 4) as p75_days_in_stage, c.entered_count < 10 as is_small_sample
from (
    select *, ever_days >= 30 or (first_open_days is null and c.known_days >= 30) as known_30, ever_days >= 60 or (first_open_days is null and c.known_days >= 60) as known_60,
        ever_days >= 90 or (first_open_days is null and c.known_days >= 90) as known_90
    from cells as c
) as c
left join estimates as e on c.cell = e.cell
left join paces as p on c.cell = p.cell;

create table leading_indicators.weekly_pipeline_coverage as
with looked_at as (
    select
        *, date_diff('quarter', date '1990-01-01', quarter_start_date) as number, date_trunc('week', quarter_end_date + 1)::date as after_week_start_date,
        least(date_trunc('week', quarter_start_date - interval 3 months)::date, first_week_start_date) as from_week_start_date
    from quarters left join (
        select target_quarter_start_date as quarter_start_date, min(week_start_date) as first_week_start_date from core.fct_pipeline_movements group by all
    ) using (quarter_start_date)
),
levelled as (
    select level, level_id, target_fiscal_quarter, week_start_date, coalesce(sum(columns(['quota', 'won', 'deals', 'open', 'won_later'])), 0)
    from (
        select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment)
        from (
            select rep_id, team, segment, fiscal_quarter as target_fiscal_quarter, date_trunc('week', change_date)::date as week_start_date, sum(full_quota_amount) as quota
            from core.fct_quota_changes group by all
            union all by name
            select rep_id, team, segment, fiscal_quarter as target_fiscal_quarter, date_trunc('week', change_date)::date as week_start_date, sum(won_amount_base) as won
            from core.fct_booking_changes group by all
            union all by name
            select
                m.rep_id, m.team, m.segment, m.target_fiscal_quarter, m.week_start_date, sum(m.amount_base) as open,
                sum(case when m.movement_order in (2, 4, 7) then 1 when m.movement_order in (1, 3, 8) then -1 else 0 end) as deals,
                sum(case when m.movement_order in (2, 4, 7) then b.won_amount_base when m.movement_order in (1, 3, 8) then -b.won_amount_base end) as won_later
            from core.fct_pipeline_movements as m left join core.fct_bookings as b on m.opportunity_id = b.opportunity_id and m.target_quarter_start_date = b.quarter_start_date
            group by all
        )
    )
    group by all
),
running as (
    select
        level, level_id, target_fiscal_quarter, week_start_date, coalesce(lead(week_start_date) over one, 'infinity') as next_week_start_date,
        sum(columns(['quota', 'won', 'deals', 'open', 'won_later'])) over one
    from levelled
    window one as (partition by level, level_id, target_fiscal_quarter order by week_start_date)
),
standing as (
    select
        r.* exclude (week_start_date, next_week_start_date), q.quarter_start_date, q.quarter_end_date, q.number,
        unnest(range(
            greatest(r.week_start_date, if(r.deals > 0, null, q.from_week_start_date), date_trunc('week', n.history_starts_at)::date)::timestamp,
            least(r.next_week_start_date, if(r.deals > 0, null, q.after_week_start_date), date_trunc('week', n.as_of_date)::date + 7)::timestamp,
            interval 7 days
        ))::date as week
    from running as r cross join instants as n left join looked_at as q on r.target_fiscal_quarter = q.fiscal_quarter
    where r.deals > 0 or (q.number is not null and (r.quota <> 0 or r.won <> 0))
),
filled as (
    select
        s.* exclude (quarter_end_date), d.week_end_date, d.week_fiscal_quarter, d.week_quarter_start_date, d.week_end_date <= n.lock_date as is_complete,
        date_diff('quarter', date '1990-01-01', least(d.week_end_date, n.lock_date) + 1) - 1 as finished_number, d.week_end_date <= s.quarter_end_date as is_before_end,
        (s.week - date_trunc('week', s.quarter_start_date)::date) // 7 + if(s.week >= date_trunc('week', s.quarter_start_date), 1, 0) as week_of_quarter
    from standing as s cross join instants as n inner join core.dim_dates as d on s.week = d.date_day
),
-- what stood in the same week of the eight quarters that were finished then, and what of it was won
pools as (
    select * from (
        select
            level, level_id, week, target_fiscal_quarter, is_asking,
            {'won': sum(won_later) over eight, 'open': sum(open) over eight, 'deals': sum(deals) over eight, 'quarters': sum((not is_asking)::integer) over eight} as yield
        from (
            select level, level_id, week, target_fiscal_quarter, week_of_quarter, true as is_asking, least(finished_number, number - 1) as position, 0 as won_later, 0 as open, 0 as deals
            from filled where is_before_end
            union all
            select level, level_id, week, target_fiscal_quarter, week_of_quarter, false, number, won_later, open, deals from filled where is_before_end and deals > 0
        )
        window eight as (partition by level, level_id, week_of_quarter order by position range between 7 preceding and current row)
    ) where is_asking
),
measured as (
    select
        f.*, coalesce(own.yield.deals, 0) as own_deals, if(is_before_end, greatest(f.quota - f.won, 0), null) as remaining,
        case
            when own.yield.deals >= 10 then {'level': f.level, 'pool': own.yield}
            when of_team.yield.deals >= 10 then {'level': 'team', 'pool': of_team.yield}
            when of_segment.yield.deals >= 10 then {'level': 'segment', 'pool': of_segment.yield}
            when of_all.yield.deals > 0 then {'level': 'company', 'pool': of_all.yield}
        end as source
    from filled as f
    left join attributes as a on if(f.level = 'rep', f.level_id, null) = a.rep_id and f.week_end_date >= a.valid_from_date and f.week_end_date < coalesce(a.valid_to_date, 'infinity')
    left join (select team, if(min(segment) = max(segment), min(segment), null) as segment from attributes group by team) as t on if(f.level = 'team', f.level_id, null) = t.team
    left join pools as own on f.level = own.level and f.level_id = own.level_id and f.week = own.week and f.target_fiscal_quarter = own.target_fiscal_quarter
    left join pools as of_team on of_team.level = 'team' and if(f.level = 'rep', coalesce(a.team, 'unassigned'), null) = of_team.level_id and f.week = of_team.week and f.target_fiscal_quarter = of_team.target_fiscal_quarter
    left join pools as of_segment on of_segment.level = 'segment' and case f.level when 'rep' then coalesce(a.segment, 'unassigned') when 'team' then if(t.team is null, 'unassigned', t.segment) end = of_segment.level_id
        and f.week = of_segment.week and f.target_fiscal_quarter = of_segment.target_fiscal_quarter
    left join pools as of_all on of_all.level = 'company' and f.week = of_all.week and f.target_fiscal_quarter = of_all.target_fiscal_quarter
)
select
    level, level_id, week as week_start_date, week_end_date, week_fiscal_quarter as fiscal_quarter, week_quarter_start_date as quarter_start_date, target_fiscal_quarter,
    quarter_start_date as target_quarter_start_date, week_of_quarter::integer as week_of_quarter, is_complete, deals::bigint as open_deal_count, open::decimal(18, 2) as open_amount,
    if(is_before_end, quota, null)::decimal(18, 2) as quota_amount, if(is_before_end, won, null)::decimal(18, 2) as won_amount, remaining::decimal(18, 2) as remaining_quota_amount,
    if(is_before_end, 1e0 * open / nullif(quota, 0), null)::decimal(18, 6) as coverage_full, (1e0 * open / nullif(remaining, 0))::decimal(18, 6) as coverage_remaining,
    (1e0 * source.pool.won / nullif(source.pool.open, 0))::decimal(18, 6) as pipeline_yield, source.level as yield_level, source.pool.won::decimal(18, 2) as yield_won_amount,
    source.pool.open::decimal(18, 2) as yield_open_amount, source.pool.deals::bigint as yield_deal_count, source.pool.quarters::bigint as yield_quarter_count,
    own_deals::bigint as own_yield_deal_count, (1e0 * source.pool.open / nullif(source.pool.won, 0))::decimal(18, 6) as coverage_needed,
    round(1e0 * source.pool.open / nullif(source.pool.won, 0) * remaining - open, 2)::decimal(18, 2) as coverage_gap_amount,
    coalesce(is_before_end, false) and own_deals < 10 as is_small_sample
from measured;

create table leading_indicators.weekly_activity as
with done as (
    select place, week_start_date, activity_type, sum(completed_count) as completed_count, sum(two_way_count) as two_way_count, count(account_id) as account_count, 0 as open_deal_count
    from account_touches group by all
    union all
    select place, week_start_date, activity_type, 0, 0, 0, count(*) from deal_touches group by all
),
leaves as (
    select p.rep_id, p.team, p.segment, d.* exclude (place), 0 as working_day_count from done as d inner join places as p using (place)
    union all by name
    select rep_id, team, segment, week_start_date, unnest(['call', 'meeting', 'demo', 'email']) as activity_type, count(*) as working_day_count
    from working_days
    where week_start_date >= (select min(week_start_date) from account_touches)
        and (role = 'rep' or (rep_id, week_start_date) in (select (p.rep_id, d.week_start_date) from done as d inner join places as p using (place)))
    group by rep_id, team, segment, week_start_date
),
-- touched from n places of a level, a thing stands n - 1 times too often in its sum: the few of which this is so
repeated as (
    select
        unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', p.segment, p.team, p.rep_id]) as level_id, t.week_start_date, t.activity_type,
        t.account_id, t.opportunity_id
    from (
        select *, null as opportunity_id from account_touches semi join (
            select week_start_date, activity_type, account_id from account_touches group by all having min(place) <> max(place)
        ) using (week_start_date, activity_type, account_id)
        union all by name
        from deal_touches semi join (
            select week_start_date, activity_type, opportunity_id from deal_touches group by all having min(place) <> max(place)
        ) using (week_start_date, activity_type, opportunity_id)
    ) as t
    inner join places as p using (place)
),
counted as (
    select
        level, level_id, week_start_date, activity_type, coalesce(sum(completed_count), 0) as completed_count, coalesce(sum(two_way_count), 0) as two_way_count,
        coalesce(sum(account_count), 0) as account_count, coalesce(sum(open_deal_count), 0) as open_deal_count, coalesce(sum(working_day_count), 0) as working_day_count
    from (
        select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment) from leaves
        union all by name
        select
            level, level_id, week_start_date, activity_type,
            count(distinct account_id) - count(account_id) as account_count, count(distinct opportunity_id) - count(opportunity_id) as open_deal_count
        from repeated group by all
    )
    group by all
)
select
    c.level, c.level_id, c.week_start_date, d.week_end_date, d.week_fiscal_quarter as fiscal_quarter, d.week_quarter_start_date as quarter_start_date, d.week_of_quarter,
    d.week_end_date <= (select lock_date from instants) as is_complete, c.activity_type, c.completed_count::bigint as completed_count, c.two_way_count::bigint as two_way_count,
    (1e0 * c.two_way_count / nullif(c.completed_count, 0))::decimal(9, 6) as two_way_rate, c.account_count::bigint as account_count, c.open_deal_count::bigint as open_deal_count,
    c.working_day_count::bigint as working_day_count,
    (1e0 * c.completed_count / nullif(c.working_day_count, 0))::decimal(18, 4) as completed_per_working_day,
    (1e0 * c.two_way_count / nullif(c.working_day_count, 0))::decimal(18, 4) as two_way_per_working_day,
    (1e0 * c.account_count / nullif(c.working_day_count, 0))::decimal(18, 4) as accounts_per_working_day,
    (1e0 * c.open_deal_count / nullif(c.working_day_count, 0))::decimal(18, 4) as open_deals_per_working_day,
    c.completed_count < 10 as is_small_sample
from counted as c inner join core.dim_dates as d on c.week_start_date = d.date_day;

create table leading_indicators.activity_progress as
with next_steps as (
    select
        opportunity_id, coalesce(lag(step_date) over one, '-infinity') as after_date, step_date as next_date,
        min(created) over (one rows between current row and unbounded following) as next_created,
        min(advanced) over (one rows between current row and unbounded following) as next_advanced,
        min(won) over (one rows between current row and unbounded following) as next_won
    from (
        select
            opportunity_id, step_date, max(step_date) filter (kind = 'created') as created, max(step_date) filter (kind = 'advanced') as advanced,
            max(step_date) filter (kind = 'won') as won
        from (
            select opportunity_id, movement_date as step_date, 'created' as kind from core.fct_pipeline_movements where movement = 'created'
            union all select opportunity_id, exited_at::date, 'advanced' from core.fct_stage_stays where exit_to = 'advanced'
            union all select opportunity_id, booking_date, 'won' from core.fct_bookings
        ) group by all
    )
    window one as (partition by opportunity_id order by step_date)
),
deals as (
    select
        a.rep_id, a.opportunity_id, d.quarter_start_date, sum(a.activities) as activity_count,
        coalesce(sum(a.activities) filter (is_observed), 0) as observed_count,
        coalesce(sum(a.activities) filter (is_observed and s.next_date <= a.activity_date + 30), 0) as followed_count,
        bool_or(is_observed) as is_worked,
        bool_or(is_observed and s.next_date <= a.activity_date + 30) as is_moved,
        bool_or(is_observed and s.next_created <= a.activity_date + 30) as is_created,
        bool_or(is_observed and s.next_advanced <= a.activity_date + 30) as is_advanced,
        bool_or(is_observed and s.next_won <= a.activity_date + 30) as is_won
    from (
        select *, activity_date <= (select as_of_date - 30 from instants) as is_observed
        from (
            select rep_id, opportunity_id, activity_date, count(*) as activities
            from core.fct_activities where is_completed and type <> 'task' and opportunity_id is not null group by all
        )
    ) as a
    inner join core.dim_dates as d on a.activity_date = d.date_day
    inner join core.fct_open_periods as o on a.opportunity_id = o.opportunity_id and a.activity_date >= o.open_from_date and a.activity_date <= coalesce(o.open_to_date, 'infinity')
    left join next_steps as s on a.opportunity_id = s.opportunity_id and a.activity_date > s.after_date and a.activity_date <= s.next_date
    group by all
),
volumes as (
    select rep_id, activity_date, count(*) as completed_count, count(*) filter (is_two_way) as two_way_count
    from core.fct_activities where is_completed and type <> 'task' group by all
),
quarterly as (
    select v.rep_id, d.quarter_start_date, sum(completed_count) as completed_count, sum(two_way_count) as two_way_count
    from volumes as v inner join core.dim_dates as d on v.activity_date = d.date_day group by all
),
summed as (
    select
        rep_id, quarter_start_date, coalesce(sum(working_day_count), 0) as working_day_count, coalesce(sum(completed_count), 0) as completed_count, coalesce(sum(two_way_count), 0) as two_way_count,
        coalesce(sum(deal_activity_count), 0) as deal_activity_count, coalesce(sum(observed_count), 0) as observed_count, coalesce(sum(followed_count), 0) as followed_count,
        coalesce(sum(worked), 0) as worked, coalesce(sum(moved), 0) as moved, coalesce(sum(created), 0) as created, coalesce(sum(advanced), 0) as advanced, coalesce(sum(won), 0) as won
    from (
        from quarterly
        union all by name
        select
            rep_id, quarter_start_date, sum(activity_count) as deal_activity_count, sum(observed_count) as observed_count, sum(followed_count) as followed_count,
            count_if(is_worked) as worked, count_if(is_moved) as moved, count_if(is_created) as created, count_if(is_advanced) as advanced, count_if(is_won) as won
        from deals group by all
        union all by name
        select rep_id, quarter_start_date, count(*) as working_day_count
        from working_days
        where date_day >= (select min(activity_date) from volumes)
        group by all having bool_or(role = 'rep') or (rep_id, quarter_start_date) in (select (rep_id, quarter_start_date) from quarterly)
    )
    group by all
),
placed as (
    select
        s.*, q.fiscal_quarter, coalesce(r.team, 'unassigned') as team, coalesce(r.segment, 'unassigned') as segment, q.quarter_end_date + 30 <= n.as_of_date as is_complete,
        1e0 * s.deal_activity_count / nullif(s.working_day_count, 0) as per_day, s.working_day_count > 0 and s.worked >= 10 as is_measured
    from summed as s cross join instants as n inner join quarters as q on s.quarter_start_date = q.quarter_start_date
    left join attributes as r on s.rep_id = r.rep_id and least(q.quarter_end_date, n.as_of_date) >= r.valid_from_date and least(q.quarter_end_date, n.as_of_date) < coalesce(r.valid_to_date, 'infinity')
),
judged as (
    select
        *,
        coalesce(count(*) filter (is_measured) over peers, 0) - is_measured::integer as peer_count,
        coalesce(sum(worked) filter (is_measured) over peers, 0) - if(is_measured, worked, 0) as peer_worked,
        coalesce(sum(moved) filter (is_measured) over peers, 0) - if(is_measured, moved, 0) as peer_moved,
        if(peer_count >= 5, quantile_cont(per_day, 0.75) filter (is_measured) over peers, null) as p75,
        if(peer_count >= 5, 1e0 * peer_moved / nullif(peer_worked, 0), null) as peer_rate,
        wilson(moved, worked, 1) as rate_high
    from placed
    window peers as (partition by segment, quarter_start_date)
)
select
    rep_id, team, segment, fiscal_quarter, quarter_start_date, is_complete, working_day_count::bigint as working_day_count, completed_count::bigint as completed_count,
    two_way_count::bigint as two_way_count, deal_activity_count::bigint as deal_activity_count, per_day::decimal(18, 4) as deal_activity_per_working_day,
    observed_count::bigint as observed_activity_count, followed_count::bigint as followed_activity_count,
    (1e0 * followed_count / nullif(observed_count, 0))::decimal(9, 6) as followed_activity_rate, worked::bigint as worked_deal_count, moved::bigint as moved_deal_count,
    created::bigint as created_deal_count, advanced::bigint as advanced_deal_count, won::bigint as won_deal_count, (1e0 * moved / nullif(worked, 0))::decimal(9, 6) as moved_deal_rate,
    wilson(moved, worked, -1)::decimal(9, 6) as moved_deal_rate_low, rate_high::decimal(9, 6) as moved_deal_rate_high, peer_count::bigint as peer_count,
    p75::decimal(18, 4) as segment_p75_per_working_day, peer_rate::decimal(9, 6) as peer_moved_deal_rate, peer_moved::bigint as peer_moved_deal_count,
    peer_worked::bigint as peer_worked_deal_count, if(is_measured, per_day > p75, null) as is_high_activity, if(is_measured, rate_high < peer_rate, null) as is_low_progress,
    if(is_measured, per_day > p75 and rate_high < peer_rate, null) as is_high_activity_low_progress, worked < 10 as is_small_sample
from judged;

create table leading_indicators.pipeline_velocity as
with changes as (
    select m.rep_id, m.team, m.segment, d.quarter_start_date, sum(if(m.movement_order in (2, 7), 1, -1)) as open_count
    from core.fct_pipeline_movements as m inner join core.fct_opportunities as o on m.opportunity_id = o.opportunity_id inner join core.dim_dates as d on m.movement_date = d.date_day
    where m.movement_order in (1, 2, 7, 8) and coalesce(o.type, 'unknown') <> 'renewal' group by all
    union all by name
    select
        rep_id, team, segment, quarter_start_date, count_if(outcome = 'won') as won_count, count_if(outcome = 'lost') as lost_count, sum(amount_base) filter (outcome = 'won') as won_amount,
        count_if(outcome = 'won' and cycle_days >= 0) as cycle_count, sum(cycle_days) filter (outcome = 'won' and cycle_days >= 0) as total_cycle_days
    from core.fct_closings where period_type = 'quarter' and deal_type <> 'renewal' group by all
),
levelled as (
    select level, level_id, quarter_start_date, coalesce(sum(columns(['open_count', 'won_count', 'lost_count', 'won_amount', 'cycle_count', 'total_cycle_days'])), 0)
    from (select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment) from changes)
    group by all
),
trailed as (
    select
        p.level, p.level_id, q.fiscal_quarter, q.quarter_start_date, q.quarter_end_date < (n.as_of_at + interval 1 second)::date as is_complete,
        sum(coalesce(open_count, 0)) over so_far as open_count, sum(coalesce(won_count, 0)) over four_quarters as won_count, sum(coalesce(lost_count, 0)) over four_quarters as lost_count,
        sum(coalesce(won_amount, 0)) over four_quarters as won_amount, sum(coalesce(cycle_count, 0)) over four_quarters as cycle_count,
        sum(coalesce(total_cycle_days, 0)) over four_quarters as total_cycle_days
    from (select level, level_id, min(quarter_start_date) as first_date from levelled group by all) as p
    cross join instants as n
    inner join quarters as q on q.quarter_start_date >= p.first_date and q.quarter_start_date <= n.as_of_date
    left join levelled as v on p.level = v.level and p.level_id = v.level_id and q.quarter_start_date = v.quarter_start_date
    window so_far as (partition by p.level, p.level_id order by q.quarter_start_date rows unbounded preceding),
        four_quarters as (partition by p.level, p.level_id order by q.quarter_start_date rows 3 preceding)
)
select
    level, level_id, fiscal_quarter, quarter_start_date, is_complete, open_count::bigint as open_deal_count, won_count::bigint as won_count, lost_count::bigint as lost_count,
    (1e0 * won_count / nullif(won_count + lost_count, 0))::decimal(9, 6) as win_rate_count, won_amount::decimal(18, 2) as won_amount,
    (1e0 * won_amount / nullif(won_count, 0))::decimal(18, 2) as average_won_amount, cycle_count::bigint as cycle_count, total_cycle_days::bigint as total_cycle_days,
    (1e0 * total_cycle_days / nullif(cycle_count, 0))::decimal(18, 4) as mean_cycle_days,
    (open_count * (1e0 * won_count / nullif(won_count + lost_count, 0)) * (1e0 * won_amount / nullif(won_count, 0))
        / nullif(1e0 * total_cycle_days / nullif(cycle_count, 0), 0))::decimal(18, 2) as velocity_amount_per_day,
    won_count + lost_count < 10 as is_small_sample
from trailed where open_count <> 0 or won_count + lost_count > 0;

create table leading_indicators.stalled_deals as
with open_deals as (
    from core.fct_opportunities where outcome = 'open' and not is_deleted and merged_into_id is null and not is_excluded
),
paces as (
    select s.pipeline, s.stage, count(*) as won_stay_count, quantile_cont(s.days_in_stage, 0.75) as p75_days
    from core.fct_stage_stays as s inner join core.fct_opportunities as o on s.opportunity_id = o.opportunity_id
    where s.outcome = 'open' and s.is_finished and o.outcome = 'won' and not o.is_deleted and o.merged_into_id is null and not o.is_excluded
    group by all
),
touches as (
    select opportunity_id, arg_min({'id': activity_id, 'day': activity_date}, (-epoch_us(occurred_at), activity_id)) as last
    from core.fct_activities semi join open_deals using (opportunity_id)
    where is_two_way group by opportunity_id
),
changes as (
    select
        opportunity_id,
        max({'number': state_number, 'day': valid_from_at::date}) filter (state_number = 1 or (next_step, next_step_date) is distinct from (step_before, step_date_before)) as next_step,
        max({'number': state_number, 'day': valid_from_at::date}) filter (state_number = 1 or close_date is distinct from close_date_before) as close_date,
        max({'number': state_number, 'day': valid_from_at::date}) filter (outcome = 'open' and close_date > close_date_told) as last_push
    from (
        select *, lag(next_step) over one as step_before, lag(next_step_date) over one as step_date_before, lag(close_date) over one as close_date_before,
            lag(close_date ignore nulls) over one as close_date_told
        from core.fct_opportunity_states semi join open_deals using (opportunity_id)
        window one as (partition by opportunity_id order by state_number)
    )
    group by opportunity_id
),
flagged as (
    select
        d.* exclude (next_step, close_date), d.next_step, d.close_date, n.as_of_date, coalesce(q.fiscal_quarter, 'unscheduled') as target_fiscal_quarter, q.quarter_start_date as target_quarter_start_date, s.stay_id, s.stay_number,
        s.entered_date as stage_entered_date, s.days_in_stage, coalesce(p.won_stay_count, 0) as won_stay_count, if(p.won_stay_count >= 10, p.p75_days, null) as stage_p75_days,
        t.last, c.next_step as step_change, c.close_date as date_change, c.last_push, n.as_of_date - coalesce(t.last.day, d.created_date) as silent_days,
        s.days_in_stage > stage_p75_days as is_slow_in_stage, silent_days > 14 as is_silent, coalesce(trim(d.next_step), '') = '' and d.next_step_date is null as is_next_step_missing,
        coalesce(d.next_step_date < n.as_of_date, false) as is_next_step_past, d.push_count >= 3 as is_pushed_often, coalesce(d.close_date < n.as_of_date, false) as is_overdue,
        coalesce(is_slow_in_stage, false)::integer + is_silent::integer + is_next_step_missing::integer + is_next_step_past::integer + is_pushed_often::integer + is_overdue::integer as flag_count
    from open_deals as d cross join instants as n
    inner join changes as c on d.opportunity_id = c.opportunity_id
    left join core.dim_dates as q on d.close_date = q.date_day
    left join core.fct_stage_stays as s on d.opportunity_id = s.opportunity_id and s.exited_at is null
    left join paces as p on d.pipeline = p.pipeline and d.stage = p.stage
    left join touches as t on d.opportunity_id = t.opportunity_id
)
select
    opportunity_id, opportunity_name, account_id, rep_id, team, segment, pipeline, stage, forecast_category, is_in_pipeline, close_date, target_fiscal_quarter, target_quarter_start_date,
    amount, currency_code, amount_base, is_slow_in_stage, stay_id, stay_number, stage_entered_date, days_in_stage, stage_p75_days::decimal(18, 4) as stage_p75_days,
    won_stay_count, won_stay_count < 10 as is_small_sample, is_silent, last.id as last_two_way_activity_id, last.day as last_two_way_date,
    (as_of_date - last.day)::integer as days_since_two_way, silent_days::integer as silent_days, is_next_step_missing, is_next_step_past, next_step, next_step_date,
    step_change.number as next_step_state_number, step_change.day as next_step_state_date, is_pushed_often, push_count, slip_count, last_push.number as last_push_state_number,
    last_push.day as last_push_state_date, is_overdue, if(is_overdue, as_of_date - close_date, 0)::integer as days_overdue, date_change.number as close_date_state_number,
    date_change.day as close_date_state_date, flag_count >= 1 as is_stalled, flag_count, as_of_date
from flagged;

create table leading_indicators.lead_funnel as
with known as (
    select
        l.Id as lead_id, coalesce(nullif(trim(l.LeadSource), ''), 'unknown') as lead_source, coalesce(l.CampaignId__c, 'none') as campaign_id, l.CreatedDate as created_at, n.as_of_date,
        if(l.QualifiedDate__c <= n.as_of_at, l.QualifiedDate__c::date, null) as qualified_date, if(l.IsConverted and l.ConvertedDate::timestamp <= n.as_of_at, l.ConvertedDate, null) as converted_date,
        coalesce(d.opportunity_id, l.ConvertedOpportunityId) as opportunity_id
    from (from raw_salesforce.lead qualify row_number() over (partition by Id order by _extracted_at desc) = 1) as l
    cross join instants as n
    left join deal_ids as d on d.source_system = 'salesforce' and l.ConvertedOpportunityId = d.source_opportunity_id
    where l.IsDeleted is distinct from true and l.CreatedDate <= n.as_of_at
),
leads as (
    select
        l.*, l.created_at::date as created_date, s.opportunity_id is not null as has_deal, l.converted_date is not null or has_deal as is_converted, l.qualified_date is not null or is_converted as is_qualified,
        coalesce(s.outcome = 'won', false) as is_won, coalesce(s.outcome = 'open', false) as is_deal_open, if(is_won, s.booking_date, null) as won_date, s.won_amount_base,
        row_number() over (partition by s.opportunity_id order by l.created_at, l.lead_id) = 1 as is_first
    from known as l
    left join core.fct_opportunities as o on l.opportunity_id = o.opportunity_id
    left join core.fct_opportunities as s on coalesce(o.merged_into_id, o.opportunity_id) = s.opportunity_id and not s.is_deleted and not s.is_excluded and s.merged_into_id is null
),
followed as (
    select
        *, is_deal_open or (not is_converted and as_of_date - created_date <= coalesce(usual_days, 1e9)) as is_open,
        if(qualified_date >= created_date, qualified_date - created_date, null) as days_to_qualified,
        if(converted_date >= qualified_date, converted_date - qualified_date, null) as days_to_converted,
        if(won_date >= converted_date, won_date - converted_date, null) as days_to_won
    from leads cross join (
        select if(count(*) >= 10, quantile_cont(converted_date - created_date, 0.95), null) as usual_days from leads where converted_date >= created_date
    )
)
select
    l.lead_source, l.campaign_id, max(c.Name) as campaign_name, d.month_start_date, d.fiscal_quarter, d.quarter_start_date, count(*) as lead_count, count_if(is_qualified)::bigint as qualified_count,
    count_if(is_converted)::bigint as converted_count, count_if(is_won)::bigint as won_count, count_if(is_first and is_won)::bigint as won_deal_count,
    coalesce(sum(won_amount_base) filter (is_first and is_won), 0)::decimal(18, 2) as won_amount, count_if(is_open)::bigint as open_count,
    (1e0 * qualified_count / lead_count)::decimal(9, 6) as qualified_rate, (1e0 * converted_count / lead_count)::decimal(9, 6) as converted_rate,
    (1e0 * won_count / lead_count)::decimal(9, 6) as won_rate,
    count(days_to_qualified) as timed_qualified_count, coalesce(sum(days_to_qualified), 0)::bigint as total_days_to_qualified,
    (1e0 * total_days_to_qualified / nullif(timed_qualified_count, 0))::decimal(18, 4) as mean_days_to_qualified, quantile_cont(days_to_qualified, 0.5)::decimal(18, 4) as median_days_to_qualified,
    count(days_to_converted) as timed_converted_count, coalesce(sum(days_to_converted), 0)::bigint as total_days_to_converted,
    (1e0 * total_days_to_converted / nullif(timed_converted_count, 0))::decimal(18, 4) as mean_days_to_converted, quantile_cont(days_to_converted, 0.5)::decimal(18, 4) as median_days_to_converted,
    count(days_to_won) as timed_won_count, coalesce(sum(days_to_won), 0)::bigint as total_days_to_won,
    (1e0 * total_days_to_won / nullif(timed_won_count, 0))::decimal(18, 4) as mean_days_to_won, quantile_cont(days_to_won, 0.5)::decimal(18, 4) as median_days_to_won,
    open_count < 0.05 * lead_count as is_mature, lead_count < 10 as is_small_sample
from followed as l
inner join core.dim_dates as d on l.created_date = d.date_day
left join (from raw_salesforce.campaign qualify row_number() over (partition by Id order by _extracted_at desc) = 1) as c on l.campaign_id = c.Id and c.IsDeleted is distinct from true
group by l.lead_source, l.campaign_id, d.month_start_date, d.fiscal_quarter, d.quarter_start_date;

-- Lagging indicators.
create table lagging_indicators.quota_attainment as
with won as (
    select period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, team, segment, count(*) as won_count, sum(amount_base) as won_amount
    from core.fct_closings where outcome = 'won' group by all
),
quotas as (from core.fct_quota_periods where period_start_date <= (select as_of_date from instants)),
judged as (
    select q.*, q.full_quota > 0 as has_full, has_full and coalesce(w.won_amount, 0) >= q.full_quota as has_made_full, q.ramped_quota > 0 as has_ramped,
        has_ramped and coalesce(w.won_amount, 0) >= q.ramped_quota as has_made_ramped
    from (
        select period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, rep_id, sum(full_quota_amount) as full_quota, sum(ramped_quota_amount) as ramped_quota
        from quotas group by all
    ) as q
    left join (select period_type, period_start_date, rep_id, sum(won_amount) as won_amount from won group by all) as w using (period_type, period_start_date, rep_id)
),
parts as (
    from won
    union all by name from quotas
    union all by name
    select
        j.period_type, j.period_start_date, j.period_end_date, j.fiscal_quarter, j.quarter_start_date, j.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
        has_full::integer as full_quota_rep_count, has_made_full::integer as full_quota_made_rep_count, has_ramped::integer as ramped_quota_rep_count, has_made_ramped::integer as ramped_quota_made_rep_count
    from judged as j cross join instants as n
    left join attributes as a on j.rep_id = a.rep_id and least(j.period_end_date, n.as_of_date) >= a.valid_from_date and least(j.period_end_date, n.as_of_date) < coalesce(a.valid_to_date, 'infinity')
),
levelled as (
    select level, level_id, period_type, period_start_date, period_end_date, fiscal_quarter, quarter_start_date, coalesce(sum(columns('_(count|amount)$')), 0) as "\0"
    from (select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment) from parts)
    group by all
)
select
    level, level_id, period_type, period_start_date, period_end_date, if(period_type = 'month', period_start_date, null) as month_start_date, fiscal_quarter, quarter_start_date,
    period_end_date <= (select as_of_date from instants) as is_complete, won_count::bigint as won_count, won_amount::decimal(18, 2) as won_amount,
    full_quota_amount::decimal(18, 2) as full_quota_amount, ramped_quota_amount::decimal(18, 2) as ramped_quota_amount, (won_amount / nullif(full_quota_amount, 0))::decimal(18, 6) as attainment_full,
    (won_amount / nullif(ramped_quota_amount, 0))::decimal(18, 6) as attainment_ramped, full_quota_rep_count::bigint as full_quota_rep_count,
    full_quota_made_rep_count::bigint as full_quota_made_rep_count, (1e0 * full_quota_made_rep_count / nullif(full_quota_rep_count, 0))::decimal(9, 6) as full_quota_made_rate,
    ramped_quota_rep_count::bigint as ramped_quota_rep_count, ramped_quota_made_rep_count::bigint as ramped_quota_made_rep_count,
    (1e0 * ramped_quota_made_rep_count / nullif(ramped_quota_rep_count, 0))::decimal(9, 6) as ramped_quota_made_rate, full_quota_rep_count < 10 as is_small_sample
from levelled;

create table lagging_indicators.win_rate as
with deals as (
    select 'closed' as basis, outcome, deal_type, is_excluded_loss, amount, amount_base, rep_id, team, segment, period_type, period_start_date, period_end_date, quarter_start_date
    from core.fct_closings
    union all
    select
        'created', outcome, deal_type, is_excluded_loss, amount, amount_base, rep_id, team, segment, unnest(['quarter', 'month']), unnest([quarter_start_date, month_start_date]),
        unnest([(quarter_start_date + interval 3 months)::date - 1, last_day(created_date)]), quarter_start_date
    from core.fct_created_deals
),
parts as (
    select
        basis, deal_type, rep_id, team, segment, period_type, period_start_date, period_end_date, quarter_start_date, count_if(outcome = 'won') as won_count, count_if(outcome = 'lost') as lost_count,
        count_if(is_excluded_loss) as excluded_lost_count, count_if(outcome = 'open') as open_count, count_if(outcome <> 'open' and coalesce(amount, 0) = 0) as without_amount_count,
        coalesce(sum(amount_base) filter (outcome = 'won'), 0) as won_amount, coalesce(sum(amount_base) filter (outcome = 'lost'), 0) as lost_amount,
        coalesce(sum(amount_base) filter (is_excluded_loss), 0) as excluded_lost_amount
    from deals group by all
),
periods as (
    from parts
    union all by name
    select
        p.* replace ('trailing_four_quarters' as period_type, (q.quarter_start_date - interval 9 months)::date as period_start_date, q.quarter_end_date as period_end_date, q.quarter_start_date as quarter_start_date)
    from parts as p
    inner join quarters as q on q.quarter_start_date between p.quarter_start_date and p.quarter_start_date + interval 9 months and q.quarter_start_date <= (select as_of_date from instants)
    where p.period_type = 'quarter'
),
levelled as (
    select level, level_id, basis, deal_type, period_type, period_start_date, period_end_date, quarter_start_date, sum(columns('_(count|amount)$')) as "\0"
    from (
        select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment)
        from (from periods union all by name select * replace ('all' as deal_type) from periods where deal_type <> 'renewal')
    )
    group by all
)
select
    level, level_id, basis, deal_type, period_type, period_start_date, period_end_date, if(period_type = 'month', period_start_date, null) as month_start_date, q.fiscal_quarter,
    v.quarter_start_date, period_end_date <= (select as_of_date from instants) as is_complete, won_count::bigint as won_count, lost_count::bigint as lost_count,
    excluded_lost_count::bigint as excluded_lost_count, if(basis = 'created', open_count, null)::bigint as open_count, without_amount_count::bigint as without_amount_count,
    won_amount::decimal(18, 2) as won_amount, lost_amount::decimal(18, 2) as lost_amount, excluded_lost_amount::decimal(18, 2) as excluded_lost_amount,
    (1e0 * won_count / nullif(won_count + lost_count, 0))::decimal(9, 6) as win_rate_count, wilson(won_count, won_count + lost_count, -1)::decimal(9, 6) as win_rate_count_low,
    wilson(won_count, won_count + lost_count, 1)::decimal(9, 6) as win_rate_count_high,
    if(least(won_amount, lost_amount) >= 0, 1e0 * won_amount / nullif(won_amount + lost_amount, 0), null)::decimal(9, 6) as win_rate_value,
    (1e0 * won_count / nullif(won_count + lost_count - excluded_lost_count, 0))::decimal(9, 6) as win_rate_count_narrow,
    if(least(won_amount, lost_amount - excluded_lost_amount) >= 0, 1e0 * won_amount / nullif(won_amount + lost_amount - excluded_lost_amount, 0), null)::decimal(9, 6) as win_rate_value_narrow,
    if(basis = 'created', open_count < 0.05 * (won_count + lost_count + open_count), null) as is_mature, won_count + lost_count < 10 as is_small_sample
from levelled as v inner join quarters as q on v.quarter_start_date = q.quarter_start_date;

create table lagging_indicators.deal_size_and_cycle as
with levelled as (
    select
        level, level_id, basis, fiscal_quarter, quarter_start_date, count(*) as deal_count, count_if(outcome = 'open') as open_count, count_if(outcome = 'won') as won_count,
        count_if(outcome = 'won' and amount is null) as won_without_amount_count, coalesce(sum(amount_base) filter (outcome = 'won'), 0) as won_amount,
        median(amount_base) filter (outcome = 'won') as median_won_amount, count(cycle_days) filter (outcome = 'won' and cycle_days >= 0) as cycle_count,
        count_if(outcome = 'won' and cycle_days < 0) as negative_cycle_count, coalesce(sum(cycle_days) filter (outcome = 'won' and cycle_days >= 0), 0) as total_cycle_days,
        quantile_cont(cycle_days, [0.5, 0.75]) filter (outcome = 'won' and cycle_days >= 0) as quantiles
    from (
        select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, * exclude (rep_id, team, segment)
        from (
            select 'closed' as basis, outcome, amount, amount_base, cycle_days, fiscal_quarter, quarter_start_date, rep_id, team, segment
            from core.fct_closings where period_type = 'quarter' and outcome = 'won'
            union all
            select 'created', outcome, amount, amount_base, cycle_days, fiscal_quarter, quarter_start_date, rep_id, team, segment from core.fct_created_deals
        )
    )
    group by level, level_id, basis, fiscal_quarter, quarter_start_date
)
select
    level, level_id, basis, fiscal_quarter, quarter_start_date, q.quarter_end_date <= (select as_of_date from instants) as is_complete, if(basis = 'created', deal_count, null) as created_count,
    if(basis = 'created', open_count, null)::bigint as open_count, won_count::bigint as won_count, won_without_amount_count::bigint as won_without_amount_count,
    won_amount::decimal(18, 2) as won_amount, round(won_amount / nullif(won_count, 0), 2)::decimal(18, 2) as average_won_amount, median_won_amount::decimal(18, 2) as median_won_amount,
    cycle_count, negative_cycle_count::bigint as negative_cycle_count, total_cycle_days::bigint as total_cycle_days, quantiles[1]::decimal(18, 2) as median_cycle_days,
    quantiles[2]::decimal(18, 2) as p75_cycle_days, (1e0 * total_cycle_days / nullif(cycle_count, 0))::decimal(18, 4) as mean_cycle_days,
    if(basis = 'created', open_count < 0.05 * deal_count, null) as is_mature, won_count < 10 as is_small_sample
from levelled inner join quarters as q using (fiscal_quarter, quarter_start_date);

create table lagging_indicators.ramp_time as
with spells as (
    select
        rep_id, spell_number, start_date, end_date, hire_quarter, hire_quarter_start_date, team, segment, is_left_truncated, end_kind, end_reason,
        min(tenure_month) filter (is_on_target) as ramped_in, max(tenure_month) filter (is_last_month and end_kind = 'left') as left_in,
        max(tenure_month) filter (is_last_month and end_kind = 'left' and is_finished) as finished_left_in, coalesce(max(tenure_month) filter (is_worked_whole), 0) as worked, bool_or(is_measured) as is_measured
    from core.fct_rep_tenure_months group by all
)
select
    s.rep_id, s.spell_number, s.team, s.segment, s.start_date, s.end_date, s.hire_quarter, s.hire_quarter_start_date,
    case when s.is_left_truncated then null when s.ramped_in is not null then 'ramped' when s.end_kind = 'left' then 'left before' else 'open' end as outcome,
    if(s.is_left_truncated, null, s.ramped_in) as months_to_ramp, if(s.is_left_truncated, null, coalesce(s.ramped_in, s.finished_left_in, s.worked)) as months_observed, s.left_in as left_in_month,
    s.end_reason, m.trailing_won_amount_base, m.trailing_full_quota_amount_base, s.is_left_truncated, coalesce(s.end_kind = 'changed_role', false) as has_changed_role,
    not s.is_left_truncated and s.worked >= 3 and not s.is_measured as is_quota_missing
from spells as s
left join core.fct_rep_tenure_months as m on s.rep_id = m.rep_id and s.spell_number = m.spell_number and m.tenure_month = coalesce(s.ramped_in, s.worked);

create table lagging_indicators.ramp_curve as
with spells as (
    select unnest([hire_quarter, 'all']) as hire_quarter, unnest([hire_quarter_start_date, null]) as hire_quarter_start_date, outcome, months_observed,
        outcome = 'left before' and coalesce(left_in_month = months_observed, false) as has_left
    from lagging_indicators.ramp_time where not is_left_truncated
),
cohorts as (
    select hire_quarter, min(hire_quarter_start_date) as hire_quarter_start_date, count(*) as spell_count, max(months_observed) as last_observed_month from spells group by hire_quarter
),
productivity as (
    select
        unnest([hire_quarter, 'all']) as hire_quarter, tenure_month, is_worked_whole and full_quota_amount_base > 0 as is_productive, won_amount_base as won, full_quota_amount_base as quota
    from core.fct_rep_tenure_months where not is_left_truncated and is_finished
),
paces as (
    select
        hire_quarter, tenure_month, count_if(is_productive) as productivity_rep_count, avg(1e0 * won / quota) filter (is_productive) as mean_productivity,
        sum(won) filter (is_productive) as won_amount_base, sum(quota) filter (is_productive) as full_quota_amount_base
    from productivity group by all
),
exits as (
    select
        p.hire_quarter, p.tenure_month, count_if(s.months_observed >= p.tenure_month) as at_risk, count_if(s.months_observed = p.tenure_month and s.outcome = 'ramped') as ramped,
        count_if(s.months_observed = p.tenure_month and s.has_left) as gone, count_if(s.months_observed = p.tenure_month and s.outcome <> 'ramped' and not s.has_left) as censored
    from paces as p inner join spells as s on p.hire_quarter = s.hire_quarter
    group by all
),
survivals as (
    select
        *, exp(coalesce(sum(if(ramped + gone < at_risk, ln(1e0 - 1e0 * (ramped + gone) / at_risk), -1e3))
            over (partition by hire_quarter order by tenure_month rows between unbounded preceding and 1 preceding), 0e0)) as survival_before
    from exits where at_risk > 0
),
incidences as (
    select
        *, survival_before * (1e0 - 1e0 * (ramped + gone) / at_risk) as survival, sum(survival_before * ramped / at_risk) over (partition by hire_quarter order by tenure_month rows unbounded preceding) as incidence,
        coalesce(1e0 * (ramped + gone) / nullif(1e0 * at_risk * (at_risk - (ramped + gone)), 0e0), 0e0) as exit_spread, survival_before * ramped / (1e0 * at_risk * at_risk) as event_spread
    from survivals
),
curves as (
    select
        hire_quarter, tenure_month, survival, incidence,
        incidence * incidence * sum(exit_spread) over one - 2e0 * incidence * sum(incidence * exit_spread + event_spread) over one
        + sum(incidence * incidence * exit_spread + 2e0 * incidence * event_spread + survival_before * event_spread * (at_risk - ramped) / at_risk) over one as variance
    from incidences
    window one as (partition by hire_quarter order by tenure_month rows unbounded preceding)
),
shares as (
    select e.*, c.hire_quarter_start_date, c.spell_count, if(e.at_risk > 0 or v.survival < 1e-12, v.incidence, null) as share, if(e.at_risk > 0 or v.survival < 1e-12, v.variance, null) as variance
    from exits as e inner join cohorts as c using (hire_quarter)
    left join curves as v on e.hire_quarter = v.hire_quarter and least(e.tenure_month, c.last_observed_month) = v.tenure_month
)
select
    s.hire_quarter, s.hire_quarter_start_date, s.tenure_month, s.spell_count, s.at_risk::bigint as at_risk_count, s.ramped::bigint as ramped_count, s.gone::bigint as left_count,
    s.censored::bigint as censored_count, s.share::decimal(9, 6) as share_ramped, elapsed_share(s.share, s.variance, -1)::decimal(9, 6) as share_ramped_low,
    elapsed_share(s.share, s.variance, 1)::decimal(9, 6) as share_ramped_high, min(s.tenure_month) filter (s.share >= 0.5 - 1e-12) over (partition by s.hire_quarter) as median_months_to_ramp,
    p.mean_productivity::decimal(18, 6) as mean_productivity, p.productivity_rep_count::bigint as productivity_rep_count, p.won_amount_base::decimal(18, 2) as won_amount_base,
    p.full_quota_amount_base::decimal(18, 2) as full_quota_amount_base, s.spell_count < 10 as is_small_sample
from shares as s inner join paces as p using (hire_quarter, tenure_month);

create table lagging_indicators.rep_retention as
with levelled as (
    select level, level_id, quarter_start_date, sum(columns('_(count|start|end)$')) as "\0"
    from (
        select
            unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, quarter_start_date,
            headcount_start, joined_count, left_count, voluntary_left_count, involuntary_left_count, other_left_count, top_tier_left_count, retained_count, headcount_end,
            unnest([moved_in_company_count, moved_in_segment_count, moved_in_team_count, moved_in_rep_count]) as moved_in_count,
            unnest([moved_out_company_count, moved_out_segment_count, moved_out_team_count, moved_out_rep_count]) as moved_out_count
        from core.fct_rep_quarters
    )
    group by all
),
headcounts as (
    select u.level, u.level_id, q.fiscal_quarter, q.quarter_start_date, q.quarter_end_date <= n.as_of_date as is_complete, coalesce(columns(l.* exclude (level, level_id, quarter_start_date)), 0)
    from (select distinct level, level_id from levelled) as u cross join instants as n
    inner join quarters as q on q.quarter_end_date >= n.history_starts_at::date and q.quarter_start_date <= n.as_of_date
    left join levelled as l on u.level = l.level and u.level_id = l.level_id and q.quarter_start_date = l.quarter_start_date
),
attritions as (
    select *, if(count(*) over four = 4, sum(left_count) over four, null) as left_in_four, if(count(*) over four = 4, avg(0.5e0 * (headcount_start + headcount_end)) over four, null) as average_in_four
    from headcounts
    window four as (partition by level, level_id order by quarter_start_date rows 3 preceding)
),
observed as (
    select
        hire_quarter, tenure_month, count(*) as at_risk, count_if(has_left) as gone, count_if(has_left and end_reason = 'voluntary') as voluntary, count_if(has_left and end_reason = 'involuntary') as involuntary
    from (
        select unnest(if(is_left_truncated, ['all'], [hire_quarter, 'all'])) as hire_quarter, tenure_month, is_last_month and coalesce(end_kind = 'left', false) as has_left, end_reason
        from core.fct_rep_tenure_months where is_finished and month_start_date >= history_start_date and (is_worked_whole or end_kind = 'left')
    )
    group by all
),
survivals as (
    select
        *, row_number() over one = tenure_month as is_known, exp(sum(if(gone < at_risk, ln(1e0 - 1e0 * gone / at_risk), -1e3)) over one) as survival,
        survival * survival * sum(coalesce(1e0 * gone / nullif(1e0 * at_risk * (at_risk - gone), 0e0), 0e0)) over one as variance
    from observed
    window one as (partition by hire_quarter order by tenure_month rows unbounded preceding)
),
cohorts as (
    select hire_quarter, min(start_date) as hire_quarter_start_date, count(*) as spell_count
    from (
        select distinct rep_id, spell_number, unnest(if(is_left_truncated, ['all'], [hire_quarter, 'all'])) as hire_quarter, unnest(if(is_left_truncated, [null], [hire_quarter_start_date, null])) as start_date
        from core.fct_rep_tenure_months
    )
    group by hire_quarter
)
select
    'quarter' as basis, level, level_id, fiscal_quarter, quarter_start_date, null::varchar as hire_quarter, null::date as hire_quarter_start_date, null::integer as tenure_month, is_complete,
    headcount_start::bigint as headcount_start, joined_count::bigint as joined_count, moved_in_count::bigint as moved_in_count, moved_out_count::bigint as moved_out_count,
    left_count::bigint as left_count, headcount_end::bigint as headcount_end, voluntary_left_count::bigint as voluntary_left_count, involuntary_left_count::bigint as involuntary_left_count,
    other_left_count::bigint as other_left_count, top_tier_left_count::bigint as top_tier_left_count, retained_count::bigint as retained_count,
    (1e0 * retained_count / nullif(headcount_start, 0))::decimal(9, 6) as retained_share, left_in_four::bigint as left_count_trailing_four_quarters,
    average_in_four::decimal(18, 4) as average_headcount_trailing_four_quarters, (left_in_four / nullif(average_in_four, 0e0))::decimal(9, 6) as attrition_rate_trailing_four_quarters,
    null::bigint as spell_count, null::bigint as at_risk_count, null::decimal(9, 6) as survival_rate, null::decimal(9, 6) as survival_rate_low, null::decimal(9, 6) as survival_rate_high,
    headcount_start < 10 as is_small_sample
from attritions
where headcount_start + headcount_end + joined_count + left_count + moved_in_count + moved_out_count + coalesce(left_in_four, 0) > 0
union all by name
select
    'hire_cohort' as basis, 'company' as level, 'all' as level_id, hire_quarter, c.hire_quarter_start_date, s.tenure_month, true as is_complete, s.gone::bigint as left_count, s.voluntary::bigint as voluntary_left_count,
    s.involuntary::bigint as involuntary_left_count, (s.gone - s.voluntary - s.involuntary)::bigint as other_left_count, c.spell_count, s.at_risk as at_risk_count,
    if(is_known, survival, null)::decimal(9, 6) as survival_rate, if(is_known, 1e0 - elapsed_share(1e0 - survival, variance, 1), null)::decimal(9, 6) as survival_rate_low,
    if(is_known, 1e0 - elapsed_share(1e0 - survival, variance, -1), null)::decimal(9, 6) as survival_rate_high, c.spell_count < 10 as is_small_sample
from survivals as s inner join cohorts as c using (hire_quarter);

-- Forecast accuracy: what was known at each week's end, and a week after each quarter's. Of deals told late, the states as known then.
create temp table locks as
select fiscal_quarter, quarter_start_date, quarter_end_date, week_of_quarter, date_day as lock_date, (date_day + 1)::timestamp as lock_at, false as is_settlement
from core.dim_dates, instants where date_day = week_end_date and date_day >= history_starts_at::date and date_day <= lock_date
union all
select fiscal_quarter, quarter_start_date, quarter_end_date, null, quarter_end_date + 7, (quarter_end_date + 8)::timestamp, true
from quarters, instants where quarter_end_date >= history_starts_at::date and quarter_end_date + 7 < (as_of_at + interval 1 second)::date;

create temp table told_late as
select distinct c.opportunity_id, l.lock_at
from (
    select distinct opportunity_id, date_trunc('day', changed_at) as changed_at, date_trunc('day', learned_at) as learned_at
    from changes where changed_at::date < learned_at::date
) as c
inner join locks as l on l.lock_at > c.changed_at and l.lock_at <= c.learned_at;

create temp table locked_states as
with known as (
    select
        c.opportunity_id, t.lock_at, c.changed_at,
        max(coalesce(c.value, '')) filter (c.field = 'pipeline') as pipeline, max(coalesce(c.value, '')) filter (c.field = 'stage') as stage,
        max(coalesce(c.value, '')) filter (c.field = 'amount') as amount, max(coalesce(c.value, '')) filter (c.field = 'currency_code') as currency_code,
        max(coalesce(c.value, '')) filter (c.field = 'close_date') as close_date, max(coalesce(c.value, '')) filter (c.field = 'owner_id') as owner_id,
        max(coalesce(c.value, '')) filter (c.field = 'probability') as probability, max(coalesce(c.value, '')) filter (c.field = 'is_deleted') as is_deleted,
        max(coalesce(c.value, '')) filter (c.field = 'merged_into_id') as merged_into_id, max(coalesce(c.value, '')) filter (c.field = 'outcome_flag') as outcome_flag
    from changes as c inner join told_late as t on c.opportunity_id = t.opportunity_id and c.changed_at < t.lock_at and c.learned_at < t.lock_at
    group by all
),
carried as (
    select
        opportunity_id, lock_at, changed_at, lead(changed_at) over one as next_at,
        nullif(last_value(columns(* exclude (opportunity_id, lock_at, changed_at)) ignore nulls) over one, '') as "\0"
    from known
    window one as (partition by opportunity_id, lock_at order by changed_at rows unbounded preceding)
),
staged as (
    select
        c.*, d.source_system, coalesce(c.outcome_flag, s.outcome, 'open') as outcome, greatest(c.changed_at, s.valid_from_at) as valid_from_at, least(c.next_at, s.valid_to_at) as valid_to_at,
        c.is_deleted is distinct from 'true' and c.merged_into_id is null and not d.is_excluded as is_live, coalesce(s.is_pipeline, true) as is_pipeline
    from carried as c
    inner join deals as d on c.opportunity_id = d.opportunity_id
    left join core.dim_stages as s on d.source_system = s.source_system and c.pipeline = s.pipeline and c.stage = s.stage
        and s.valid_from_at < least(c.next_at, c.lock_at) and coalesce(s.valid_to_at, 'infinity') > c.changed_at
)
select
    opportunity_id, lock_at, valid_from_at, valid_to_at, source_system, pipeline, stage, outcome, is_live, is_live and outcome = 'open' and is_pipeline as is_in_pipeline,
    coalesce(owner_id, 'unassigned') as rep_id, amount::decimal(18, 2) as amount, coalesce(currency_code, 'USD') as currency_code, close_date::date as close_date,
    probability::decimal(9, 4) as probability,
    if(outcome <> 'open', last_value(if(is_closing, {'day': valid_from_at::date, 'rep': coalesce(owner_id, 'unassigned')}, null) ignore nulls) over one, null) as closing
from (
    select *, outcome <> 'open' and outcome <> lag(outcome, 1, 'open') over (partition by opportunity_id, lock_at order by valid_from_at) as is_closing from staged
)
window one as (partition by opportunity_id, lock_at order by valid_from_at rows unbounded preceding);

create table lagging_indicators.forecast_accuracy as
with weeks as (from locks where not is_settlement),
prices as (
    select l.lock_date, r.currency_code, r.rate_to_base
    from weeks as l inner join open_rates as r on l.lock_date >= r.valid_from_date and l.lock_date < coalesce(r.valid_to_date, 'infinity')
),
people as (
    select l.lock_date, a.rep_id, a.team, a.segment
    from weeks as l inner join attributes as a on l.lock_date >= a.valid_from_date and l.lock_date < coalesce(a.valid_to_date, 'infinity')
),
chances as (
    select l.lock_date, s.source_system, s.pipeline, s.stage, s.default_probability
    from weeks as l inner join core.dim_stages as s on l.lock_at > s.valid_from_at and l.lock_at <= coalesce(s.valid_to_at, 'infinity')
),
-- a state stands at the ends of weeks from the one it begins in to the one before it is replaced; in the forecast once its quarter begins
open_deals as (
    from (
        select
            opportunity_id, source_system, pipeline, stage, rep_id, amount, currency_code, probability,
            unnest(range(
                greatest(date_trunc('week', valid_from_at), date_trunc('week', date_trunc('quarter', close_date)))::timestamp + interval 6 days,
                least(date_trunc('week', valid_to_at), lock_at)::timestamp, interval 7 days
            ))::date as lock_date
        from core.fct_opportunity_states, instants where is_in_pipeline and close_date is not null
    ) anti join (select opportunity_id, lock_at::date - 1 as lock_date from told_late) using (opportunity_id, lock_date)
    union all
    select s.opportunity_id, s.source_system, s.pipeline, s.stage, s.rep_id, s.amount, s.currency_code, s.probability, l.lock_date
    from locked_states as s inner join weeks as l on s.lock_at = l.lock_at and s.close_date <= l.quarter_end_date
    where s.is_in_pipeline and coalesce(s.valid_to_at, 'infinity') >= s.lock_at
),
weighted as (
    select
        l.quarter_start_date, l.week_of_quarter, s.rep_id, coalesce(p.team, 'unassigned') as team, coalesce(p.segment, 'unassigned') as segment,
        sum(round(round(coalesce(s.amount, 0) * coalesce(r.rate_to_base, 0), 2)::decimal(18, 2) * coalesce(s.probability, g.default_probability, 0), 2)) as amount
    from open_deals as s
    inner join weeks as l on s.lock_date = l.lock_date
    left join prices as r on s.lock_date = r.lock_date and s.currency_code = r.currency_code
    left join chances as g on s.lock_date = g.lock_date and s.source_system = g.source_system and s.pipeline = g.pipeline and s.stage = g.stage
    left join people as p on s.lock_date = p.lock_date and s.rep_id = p.rep_id
    group by all
),
wins as (
    select l.quarter_start_date, l.week_of_quarter, s.* exclude (lock_date)
    from (
        select
            opportunity_id, credited_rep_id as rep_id, amount, currency_code, booking_date,
            unnest(range(
                greatest(date_trunc('week', valid_from_at), date_trunc('week', booking_date))::timestamp + interval 6 days,
                least(date_trunc('week', valid_to_at), lock_at, date_trunc('quarter', booking_date) + interval 3 months)::timestamp, interval 7 days
            ))::date as lock_date
        from core.fct_opportunity_states, instants where outcome = 'won' and not is_deleted and merged_into_id is null and not is_excluded
    ) as s anti join (select opportunity_id, lock_at::date - 1 as lock_date from told_late) as t using (opportunity_id, lock_date)
    inner join weeks as l on s.lock_date = l.lock_date
    union all
    select l.quarter_start_date, l.week_of_quarter, s.opportunity_id, s.closing.rep, s.amount, s.currency_code, s.closing.day
    from locked_states as s inner join weeks as l on s.lock_at = l.lock_at and s.closing.day between l.quarter_start_date and l.lock_date
    where s.outcome = 'won' and s.is_live and coalesce(s.valid_to_at, 'infinity') >= s.lock_at
    union all
    -- as known when the quarter settled
    select q.quarter_start_date, null, c.opportunity_id, c.rep_id, c.amount, c.currency_code, c.booking_date
    from core.fct_closings as c inner join locks as q on q.is_settlement and c.quarter_start_date = q.quarter_start_date and c.recorded_at < q.lock_at
    anti join told_late as t on c.opportunity_id = t.opportunity_id and q.lock_at = t.lock_at
    where c.period_type = 'quarter' and c.outcome = 'won'
    union all
    from (
        select q.quarter_start_date, null, s.opportunity_id, s.closing.rep, s.amount, s.currency_code, s.closing.day
        from locked_states as s inner join locks as q on q.is_settlement and s.lock_at = q.lock_at and s.closing.day between q.quarter_start_date and q.quarter_end_date
        where s.outcome = 'won' and s.is_live and coalesce(s.valid_to_at, 'infinity') >= (q.quarter_end_date + 1)::timestamp
        qualify row_number() over (partition by s.opportunity_id, q.quarter_start_date order by s.valid_from_at) = 1
    )
),
won as (
    select
        w.quarter_start_date, w.week_of_quarter, w.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment, count(*) as deal_count,
        sum(round(coalesce(w.amount, 0) * coalesce(r.rate_to_base, o.rate_to_base, 0), 2)) as amount
    from wins as w
    left join rates as r on w.currency_code = r.currency_code and r.rate_type = 'dated' and w.booking_date >= r.valid_from_date and w.booking_date < coalesce(r.valid_to_date, 'infinity')
    left join open_rates as o on w.currency_code = o.currency_code and w.booking_date >= o.valid_from_date and w.booking_date < coalesce(o.valid_to_date, 'infinity')
    left join attributes as a on w.rep_id = a.rep_id and w.booking_date >= a.valid_from_date and w.booking_date < coalesce(a.valid_to_date, 'infinity')
    group by all
),
calls as (
    select c.rep_id, c.scope, l.quarter_start_date, l.week_of_quarter, l.lock_date, arg_max_null(coalesce(c.commit_amount_base, 0), (c.submitted_at, c.learned_at)) as amount
    from core.fct_forecast_calls as c inner join weeks as l on c.quarter_start_date = l.quarter_start_date and c.submitted_at < l.lock_at and c.learned_at < l.lock_at
    group by all
),
reports as (
    select c.rep_id, c.lock_date, if(min(m.team) = max(m.team), min(m.team), null) as team, if(min(m.segment) = max(m.segment), min(m.segment), null) as segment, count(r.rep_id) as team_call_count
    from calls as c
    inner join assignments as m on c.rep_id = m.manager_id and m.status <> 'left' and c.lock_date >= m.valid_from_date and c.lock_date < coalesce(m.valid_to_date, 'infinity')
    left join calls as r on m.rep_id = r.rep_id and c.lock_date = r.lock_date and r.scope = 'team'
    where c.scope = 'team'
    group by all
),
forecasts as (
    select
        if(c.scope = 'own', 'rep_commit', 'manager_commit') as method, c.quarter_start_date, c.week_of_quarter, c.rep_id, coalesce(nullif(p.team, 'unassigned'), m.team, 'unassigned') as team,
        coalesce(nullif(p.segment, 'unassigned'), m.segment, 'unassigned') as segment, c.amount, 1 as call_count
    from calls as c
    left join people as p on c.rep_id = p.rep_id and c.lock_date = p.lock_date
    left join reports as m on if(c.scope = 'team', c.rep_id, null) = m.rep_id and c.lock_date = m.lock_date
    where coalesce(m.team_call_count, 0) = 0
    union all by name
    select 'crm_weighted' as method, * from weighted
    union all by name
    select 'crm_weighted' as method, * exclude (deal_count) from won where week_of_quarter is not null
),
children as (
    select
        level, level_id, child_id, method, quarter_start_date, week_of_quarter, sum(amount) as forecast_amount, sum(call_count) as call_count,
        coalesce(sum(actual), 0) as actual_amount, coalesce(sum(deal_count), 0) as actual_count
    from (
        select
            unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, unnest([segment, team, rep_id, rep_id]) as child_id,
            * exclude (rep_id, team, segment)
        from (
            from forecasts
            union all by name
            select f.*, if(f.method = 'crm_weighted', 0, null) as amount, w.rep_id, w.team, w.segment, w.amount as actual, w.deal_count
            from (select distinct method, quarter_start_date, week_of_quarter from forecasts) as f
            inner join won as w on f.quarter_start_date = w.quarter_start_date and w.week_of_quarter is null
        )
    )
    where level <> 'rep' or method <> 'manager_commit'
    group by all
),
levelled as (
    select
        level, level_id, method, quarter_start_date, week_of_quarter, sum(forecast_amount) as forecast_amount, sum(call_count) as call_count, sum(actual_amount) as actual_amount,
        sum(actual_count) as actual_count, sum(abs(coalesce(forecast_amount, 0) - actual_amount)) as children_error_amount
    from children group by all
),
measured as (
    select
        v.level, v.level_id, l.fiscal_quarter, v.quarter_start_date, v.week_of_quarter, l.lock_date, v.method, q.lock_at is not null as is_settled, v.forecast_amount, v.call_count,
        if(is_settled, v.actual_amount, null) as actual_amount, if(is_settled, v.actual_count, null) as actual_count,
        if(is_settled and v.level <> 'rep' and (v.level <> 'team' or v.method <> 'manager_commit'), v.children_error_amount, null) as children_error_amount
    from levelled as v
    inner join weeks as l on v.quarter_start_date = l.quarter_start_date and v.week_of_quarter = l.week_of_quarter
    left join locks as q on q.is_settlement and v.quarter_start_date = q.quarter_start_date
)
select
    level, level_id, fiscal_quarter, quarter_start_date, week_of_quarter::integer as week_of_quarter, lock_date, method, is_settled, forecast_amount::decimal(18, 2) as forecast_amount,
    call_count::bigint as call_count, actual_amount::decimal(18, 2) as actual_amount, actual_count::bigint as actual_count, (forecast_amount - actual_amount)::decimal(18, 2) as error_amount,
    children_error_amount::decimal(18, 2) as children_error_amount, (1 - 1e0 * abs(forecast_amount - actual_amount) / nullif(actual_amount, 0))::decimal(18, 6) as accuracy,
    (1e0 * (forecast_amount - actual_amount) / nullif(actual_amount, 0))::decimal(18, 6) as bias, (1e0 * children_error_amount / nullif(actual_amount, 0))::decimal(18, 6) as wape,
    actual_count < 10 as is_small_sample
from measured;

-- Hygiene: what stood against a deal and when.
create table hygiene.rules as
select
    rule_id, replace(sentence, '{threshold}', coalesce(rtrim(rtrim(threshold::varchar, '0'), '.'), '')) as sentence, severity, measure, comparison, threshold, unit, owner,
    coalesce(is_active, true) as is_active
from read_csv(getvariable('seeds') || '/hygiene_rules.csv', types = {'threshold': 'decimal(18, 4)', 'is_active': 'boolean'});

set variable threshold = (select map(list(rule_id), list(threshold)) from hygiene.rules);

-- Since when the warehouse could know who at the customer is on a deal.
create temp table contacts as
select
    opportunity_id, min(learned_at) as first_at, min(learned_at) filter (is_buyer) as first_buyer_at, min(learned_at) filter (is_buyer or role like '%champion%') as first_backer_at
from (
    select *, regexp_matches(role, 'economic|budget|decision.*maker') as is_buyer
    from (
        select coalesce(d.opportunity_id, r.id) as opportunity_id, r.role, if(r.first_at <= r.first_load_at, r.created_at, r.first_at) as learned_at
        from (
            select
                last(OpportunityId order by _extracted_at) as id, lower(last(Role order by _extracted_at)) as role, last(CreatedDate order by _extracted_at) as created_at,
                min(_extracted_at) as first_at, min(min(_extracted_at)) over () as first_load_at, last(coalesce(IsDeleted, false) order by _extracted_at) as is_deleted
            from raw_salesforce.opportunity_contact_role group by Id
        ) as r
        left join deal_ids as d on d.source_system = 'salesforce' and r.id = d.source_opportunity_id
        where not r.is_deleted
        union all
        select coalesce(d.opportunity_id, r.id), r.role, r.first_at
        from (
            select 'hubspot-' || deal_id as id, lower(last(label order by _extracted_at)) as role, min(_extracted_at) as first_at from raw_hubspot.deal_contact group by deal_id, contact_id
        ) as r
        left join deal_ids as d on d.source_system = 'hubspot' and r.id = d.source_opportunity_id
    )
)
group by opportunity_id;

create temp view live as
from core.fct_opportunity_states where not is_deleted and merged_into_id is null and not is_excluded;

create temp table quiet as
with touched as (
    select opportunity_id, min(activity_date) as first_date, max(activity_date) as last_date
    from core.fct_activities where is_completed and opportunity_id is not null
    group by opportunity_id, (activity_date - date '1970-01-01') // (getvariable('threshold')['no_recent_activity']::integer + 1)
),
opened as (
    select opportunity_id, min(valid_from_at) as from_at, nullif(max(coalesce(valid_to_at, 'infinity')), 'infinity') as to_at
    from (
        select *, sum(starts) over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as stretch
        from (
            select opportunity_id, valid_from_at, valid_to_at, (lag(valid_to_at) over (partition by opportunity_id order by valid_from_at) is distinct from valid_from_at)::integer as starts
            from live where outcome = 'open'
        )
    )
    group by opportunity_id, stretch
),
gaps as (
    select *, lead(first_date) over (partition by opportunity_id, from_at order by first_date, last_date)::timestamp as next_at
    from (
        select opportunity_id, from_at, to_at, from_at::date as first_date, from_at::date as last_date from opened
        union all
        select o.opportunity_id, o.from_at, o.to_at, greatest(t.first_date, o.from_at::date), t.last_date
        from opened as o inner join touched as t on o.opportunity_id = t.opportunity_id and t.last_date > o.from_at::date and t.first_date <= coalesce(o.to_at::date, 'infinity')
    )
)
select
    opportunity_id, (last_date + getvariable('threshold')['no_recent_activity']::integer + 1)::timestamp as from_at, least(to_at, next_at) as to_at, 'nothing since ' || last_date as evidence
from gaps semi join (
    select opportunity_id from deals where source_system in (select d.source_system from deals as d semi join touched as t on d.opportunity_id = t.opportunity_id)
) using (opportunity_id);

create temp table spans as
with open_deals as (from live where outcome = 'open'),
kept as (
    select
        s.source_system, count(s.account_id) > 0 as has_accounts, count(s.loss_reason) > 0 as has_loss_reasons, count(s.next_step) > 0 as has_next_steps,
        count(s.economic_buyer) > 0 or any_value(c.has_buyers) as has_buyers, any_value(c.has_contacts) as has_contacts
    from core.fct_opportunity_states as s left join (
        select source_system, true as has_contacts, count(first_buyer_at) > 0 as has_buyers from contacts inner join deals using (opportunity_id) group by source_system
    ) as c using (source_system)
    group by s.source_system
),
staged as (
    select s.*, g.outcome as stage_outcome, g.default_probability
    from live as s inner join core.dim_stages as g on s.source_system = g.source_system and s.pipeline = g.pipeline and s.stage = g.stage
        and s.valid_from_at >= g.valid_from_at and s.valid_from_at < coalesce(g.valid_to_at, 'infinity')
),
-- which win a state belongs to, a deal reopened and won again having another, and the day it was set
wins as (
    select *, max(if(is_set, valid_from_at::date, null)) over one as won_date, sum(is_set::integer) over one as win_number
    from (
        select
            opportunity_id, valid_from_at, valid_to_at, outcome, amount, close_date, booking_date, not is_deleted and merged_into_id is null and not is_excluded as is_live,
            outcome = 'won' and lag(outcome, 1, 'open') over (partition by opportunity_id order by valid_from_at) <> 'won' as is_set
        from core.fct_opportunity_states
    )
    where outcome = 'won'
    window one as (partition by opportunity_id order by valid_from_at rows unbounded preceding)
)
select 'overdue_close_date' as rule_id, opportunity_id, greatest(valid_from_at, (close_date + 1)::timestamp) as from_at, valid_to_at as to_at, 'close date ' || close_date as evidence
from open_deals where (close_date + 1)::timestamp < coalesce(valid_to_at, 'infinity')
union all
select 'far_future_close_date', opportunity_id, valid_from_at, least(valid_to_at, (close_date - getvariable('threshold')['far_future_close_date']::integer)::timestamp), 'close date ' || close_date
from open_deals where (close_date - getvariable('threshold')['far_future_close_date']::integer)::timestamp > valid_from_at
union all
select 'no_amount', opportunity_id, valid_from_at, valid_to_at, 'amount ' || coalesce(amount, 0) from open_deals where coalesce(amount, 0) <= getvariable('threshold')['no_amount']
union all
select 'close_date_pushed', opportunity_id, valid_from_at, valid_to_at, 'close date pushes ' || push_count
from (
    select *, sum(is_push) over (partition by opportunity_id order by valid_from_at rows unbounded preceding) as push_count
    from (
        select
            opportunity_id, state_number, valid_from_at, valid_to_at, outcome, is_deleted, merged_into_id, is_excluded,
            (outcome = 'open' and close_date > lag(close_date ignore nulls) over (partition by opportunity_id order by valid_from_at))::integer as is_push
        from core.fct_opportunity_states
    )
)
where push_count >= getvariable('threshold')['close_date_pushed'] and outcome = 'open' and not is_deleted and merged_into_id is null and not is_excluded
union all
select 'probability_off_stage', opportunity_id, valid_from_at, valid_to_at, 'probability away from the stage''s by ' || abs(probability - default_probability)
from staged where outcome = 'open' and abs(probability - default_probability) > getvariable('threshold')['probability_off_stage']
union all
select 'negative_cycle', s.opportunity_id, s.valid_from_at, s.valid_to_at, 'days from creation to close ' || (least(s.close_date, s.booking_date) - d.created_at::date)
from live as s inner join deals as d on s.opportunity_id = d.opportunity_id
where s.outcome = 'won' and least(s.close_date, s.booking_date) - d.created_at::date < getvariable('threshold')['negative_cycle']
union all
select
    'no_next_step', opportunity_id, if(next_step is null, valid_from_at, greatest(valid_from_at, (next_step_date + 1)::timestamp)), valid_to_at,
    if(next_step is null, 'no next step', 'next step "' || next_step || '" was due ' || next_step_date)
from open_deals semi join (from kept where has_next_steps) using (source_system)
where next_step is null or (next_step_date + 1)::timestamp < coalesce(valid_to_at, 'infinity')
union all
select 'no_recent_activity', * from quiet where from_at < coalesce(to_at, 'infinity')
union all
select 'no_contact', opportunity_id, valid_from_at, least(valid_to_at, first_at), 'no contact on the deal'
from open_deals semi join (from kept where has_contacts) using (source_system) left join contacts using (opportunity_id)
where coalesce(first_at > valid_from_at, true)
union all
select 'no_economic_buyer', opportunity_id, valid_from_at, least(valid_to_at, first_buyer_at), 'no economic buyer at ' || stage
from open_deals semi join (from kept where has_buyers) using (source_system)
semi join (
    select source_system, pipeline, stage,
        coalesce(default_probability, (row_number() over (partition by source_system, pipeline order by stage_order, stage) - 1) / count(*) over (partition by source_system, pipeline)) as progress
    from core.dim_stages where is_current and outcome = 'open' qualify progress >= getvariable('threshold')['no_economic_buyer']
) using (source_system, pipeline, stage) left join contacts using (opportunity_id)
where economic_buyer is null and coalesce(first_buyer_at > valid_from_at, true)
union all
select 'commit_without_evidence', opportunity_id, valid_from_at, least(valid_to_at, first_backer_at), 'in commit without a champion, economic buyer, budget, timeline or next step'
from open_deals left join contacts using (opportunity_id)
where forecast_category = 'commit' and coalesce(champion, economic_buyer, decision_timeline::varchar, next_step) is null and budget_confirmed is distinct from true
    and coalesce(first_backer_at > valid_from_at, true)
union all
select 'stage_flag_mismatch', opportunity_id, valid_from_at, valid_to_at, 'stage ' || stage || ' means ' || stage_outcome || ', the flags say ' || outcome from staged where outcome <> stage_outcome
union all
select 'no_loss_reason', opportunity_id, valid_from_at, valid_to_at, 'lost on ' || booking_date || ' without a reason'
from live semi join (from kept where has_loss_reasons) using (source_system) where outcome = 'lost' and loss_reason is null
union all
select
    'owner_inactive', s.opportunity_id, greatest(s.valid_from_at, r.valid_from_date::timestamp), least(s.valid_to_at, r.valid_to_date::timestamp),
    if(s.rep_id = 'unassigned', 'nobody owns it', r.rep_name || ' left on ' || (r.valid_from_date - 1))
from open_deals as s
left join (from assignments where status = 'left') as r on s.rep_id = r.rep_id and r.valid_from_date::timestamp < coalesce(s.valid_to_at, 'infinity') and coalesce(r.valid_to_date::timestamp, 'infinity') > s.valid_from_at
where r.rep_id is not null or s.rep_id = 'unassigned'
union all
select 'no_account', opportunity_id, valid_from_at, valid_to_at, 'no account' from live semi join (from kept where has_accounts) using (source_system) where account_id is null
union all
select 'probable_duplicate', s.opportunity_id, greatest(s.valid_from_at, f.valid_from_at), least(s.valid_to_at, f.valid_to_at), 'looks like ' || f.opportunity_id
from (
    select f.opportunity_id, lag(f.opportunity_id) over one as first_opportunity_id, d.created_at::date - lag(d.created_at::date) over one as days_later
    from core.fct_opportunity_states as f inner join deals as d on f.opportunity_id = d.opportunity_id
    where f.state_number = 1 and f.account_id is not null and coalesce(f.list_amount, f.amount) > 0 and not f.is_excluded
    window one as (partition by f.account_id, coalesce(f.list_amount, f.amount) order by d.created_at, f.opportunity_id)
    qualify days_later <= getvariable('threshold')['probable_duplicate']
) as p
inner join live as s on p.opportunity_id = s.opportunity_id and s.outcome <> 'lost'
inner join live as f on p.first_opportunity_id = f.opportunity_id and f.outcome <> 'lost' and f.valid_from_at < coalesce(s.valid_to_at, 'infinity') and s.valid_from_at < coalesce(f.valid_to_at, 'infinity')
union all
select
    'amount_changed_after_close', s.opportunity_id, s.valid_from_at, s.valid_to_at, coalesce(w.amount::varchar, 'no amount') || ' when won on ' || s.won_date || ', now ' || coalesce(s.amount::varchar, 'none')
from wins as s
inner join (
    select opportunity_id, win_number, arg_max_null(amount, valid_from_at) as amount from wins where valid_from_at::date = won_date group by all
) as w on s.opportunity_id = w.opportunity_id and s.win_number = w.win_number
where s.is_live and s.valid_from_at::date > s.won_date and s.amount is distinct from w.amount
union all
select
    'close_date_backdated', s.opportunity_id, s.valid_from_at, s.valid_to_at, 'set to won on ' || s.won_date || ' (' || d.fiscal_quarter || '), dated ' || least(s.close_date, s.booking_date)
from wins as s inner join core.dim_dates as d on s.won_date = d.date_day
where s.is_live and least(s.close_date, s.booking_date) < d.quarter_start_date
union all
select 'activity_before_deal', opportunity_id, valid_from_at, valid_to_at, 'activity on ' || first_date || ', ' || days_before || ' days before the deal'
from live inner join (
    select opportunity_id, first_date, created_at::date - first_date as days_before
    from deals inner join (select opportunity_id, min(activity_date) as first_date from core.fct_activities where opportunity_id is not null group by opportunity_id) using (opportunity_id)
    where days_before > getvariable('threshold')['activity_before_deal']
) using (opportunity_id)
union all
select 'unmapped_stage', opportunity_id, valid_from_at, valid_to_at, 'stage "' || coalesce(stage, '') || '" of pipeline ' || coalesce(pipeline, '') from live where not is_known_stage
union all
select
    'missing_currency_rate', s.opportunity_id, greatest(s.valid_from_at, r.valid_from_date::timestamp), least(s.valid_to_at, r.valid_to_date::timestamp), 'no rate for ' || s.currency_code
from (from open_deals where currency_code <> 'USD') as s
left join open_rates as r on s.currency_code = r.currency_code and r.valid_from_date::timestamp < coalesce(s.valid_to_at, 'infinity') and coalesce(r.valid_to_date::timestamp, 'infinity') > s.valid_from_at
where r.rate_to_base is null
union all
select 'missing_currency_rate', s.opportunity_id, s.valid_from_at, s.valid_to_at, 'no rate for ' || s.currency_code
from (from live where outcome = 'won' and currency_code <> 'USD') as s
left join rates as r on s.currency_code = r.currency_code and r.rate_type = 'dated' and s.booking_date >= r.valid_from_date and s.booking_date < coalesce(r.valid_to_date, 'infinity')
left join open_rates as o on s.currency_code = o.currency_code and s.booking_date >= o.valid_from_date and s.booking_date < coalesce(o.valid_to_date, 'infinity')
where coalesce(r.rate_to_base, o.rate_to_base) is null;

create table hygiene.exceptions as
with days as (
    select rule_id, opportunity_id, from_at, evidence, from_at::date as from_date, coalesce(to_at::date, 'infinity') as until_date, as_of_date
    from spans, instants
    where from_date < until_date and from_date <= as_of_date and rule_id in (select rule_id from hygiene.rules where is_active)
),
periods as (
    select *, sum((not coalesce(stood_until_date >= from_date, false))::integer) over (one rows unbounded preceding) as period_number
    from (
        select *, max(until_date) over (one rows between unbounded preceding and 1 preceding) as stood_until_date from days
        window one as (partition by rule_id, opportunity_id order by from_date, until_date, from_at)
    )
    window one as (partition by rule_id, opportunity_id order by from_date, until_date, from_at)
),
stood as (
    select
        rule_id, opportunity_id, min(from_date) as first_seen_date, if(max(until_date) <= any_value(as_of_date), max(until_date), null) as resolved_date,
        coalesce(resolved_date - 1, any_value(as_of_date)) as last_seen_date, arg_max(evidence, (from_date, until_date, from_at)) as evidence
    from periods group by rule_id, opportunity_id, period_number
),
seen as (
    select
        e.*, s.source_system, s.outcome, s.booking_date, s.currency_code, coalesce(if(s.outcome = 'open', s.rep_id, s.credited_rep_id), s.rep_id) as rep_id,
        coalesce(s.amount, 0) as amount, coalesce(nullif(s.amount, 0), s.list_amount * (1 - coalesce(s.discount_rate, 0)), 0) as likely_amount,
        case
            when s.outcome = 'open' and s.is_in_pipeline then coalesce(s.probability, g.default_probability, 1)
            when s.outcome = 'won' or g.outcome = 'won' then 1
            else 0
        end as weight,
        s.outcome = 'open' or s.booking_date >= date_trunc('quarter', e.last_seen_date) as is_forecast
    from stood as e
    inner join core.fct_opportunity_states as s on e.opportunity_id = s.opportunity_id and s.valid_from_at < (e.last_seen_date + 1)::timestamp and coalesce(s.valid_to_at, 'infinity') >= (e.last_seen_date + 1)::timestamp
    left join core.dim_stages as g on s.source_system = g.source_system and s.pipeline = g.pipeline and s.stage = g.stage
        and s.valid_from_at >= g.valid_from_at and s.valid_from_at < coalesce(g.valid_to_at, 'infinity')
)
select
    v.rule_id || '/' || v.opportunity_id || '/' || v.first_seen_date as exception_id, v.rule_id, v.opportunity_id, v.source_system, v.first_seen_date, v.last_seen_date, v.resolved_date,
    (v.last_seen_date - v.first_seen_date + 1)::integer as days_standing, v.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment, v.outcome, v.evidence,
    round(v.amount * coalesce(if(v.outcome = 'open', o.rate_to_base, coalesce(b.rate_to_base, c.rate_to_base)), 0), 2)::decimal(18, 2) as amount_base,
    if(is_forecast, round(v.likely_amount * coalesce(if(v.outcome = 'open', o.rate_to_base, coalesce(b.rate_to_base, c.rate_to_base)), 0) * v.weight, 2), 0)::decimal(18, 2) as forecast_amount_at_stake
from seen as v
left join open_rates as o on v.currency_code = o.currency_code and v.last_seen_date >= o.valid_from_date and v.last_seen_date < coalesce(o.valid_to_date, 'infinity')
left join rates as b on v.currency_code = b.currency_code and b.rate_type = 'dated' and v.booking_date >= b.valid_from_date and v.booking_date < coalesce(b.valid_to_date, 'infinity')
left join open_rates as c on v.currency_code = c.currency_code and v.booking_date >= c.valid_from_date and v.booking_date < coalesce(c.valid_to_date, 'infinity')
left join attributes as a on v.rep_id = a.rep_id and v.last_seen_date >= a.valid_from_date and v.last_seen_date < coalesce(a.valid_to_date, 'infinity');

create table hygiene.scores as
with scopes as (
    select
        s.opportunity_id, s.rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
        date_trunc('week', greatest(s.from_date, a.valid_from_date))::date as from_week, date_trunc('week', least(s.to_date, a.valid_to_date))::date as to_week
    from (
        select
            opportunity_id, if(outcome = 'open', rep_id, coalesce(credited_rep_id, rep_id)) as rep_id, valid_from_at::date as from_date,
            coalesce(least(valid_to_at::date, if(outcome = 'open', null, booking_date + 91)), date '9999-12-31') as to_date
        from live
    ) as s
    left join attributes as a on s.rep_id = a.rep_id and a.valid_from_date < s.to_date and s.from_date < coalesce(a.valid_to_date, 'infinity')
    where s.from_date < s.to_date
),
dirty as (
    select opportunity_id, min(from_week) as from_week, max(to_week) as to_week
    from (
        select *, sum((not coalesce(until_week >= from_week, false))::integer) over (partition by opportunity_id order by from_week, to_week rows unbounded preceding) as stretch
        from (
            select *, max(to_week) over (partition by opportunity_id order by from_week, to_week rows between unbounded preceding and 1 preceding) as until_week
            from (
                select distinct opportunity_id, date_trunc('week', first_seen_date)::date as from_week, date_trunc('week', coalesce(resolved_date, date '9999-12-31'))::date as to_week
                from hygiene.exceptions
            ) where from_week < to_week
        )
    )
    group by opportunity_id, stretch
),
steps as (
    select unnest([from_week, to_week]) as week_start_date, rep_id, team, segment, unnest([1, -1]) as in_scope, 0 as dirty from scopes where from_week < to_week
    union all
    select unnest([greatest(s.from_week, d.from_week), least(s.to_week, d.to_week)]), s.rep_id, s.team, s.segment, 0, unnest([1, -1])
    from scopes as s inner join dirty as d on s.opportunity_id = d.opportunity_id and s.from_week < d.to_week and d.from_week < s.to_week
    where s.from_week < s.to_week
),
running as (
    select
        level, level_id, sum(in_scope) over one as in_scope, sum(dirty) over one as dirty,
        unnest(range(
            week_start_date::timestamp, least(lead(week_start_date) over one, (select date_trunc('week', as_of_date)::date + 7 from instants))::timestamp, interval 7 days
        ))::date as week_start_date
    from (
        select level, level_id, week_start_date, sum(in_scope) as in_scope, sum(dirty) as dirty
        from (
            select unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, week_start_date, in_scope, dirty
            from (select week_start_date, rep_id, team, segment, sum(in_scope) as in_scope, sum(dirty) as dirty from steps group by all)
        )
        group by all
    )
    window one as (partition by level, level_id order by week_start_date)
)
select
    r.level, r.level_id, r.week_start_date, d.week_end_date, d.week_fiscal_quarter as fiscal_quarter, d.week_quarter_start_date as quarter_start_date, d.week_of_quarter,
    d.week_end_date <= (select lock_date from instants) as is_complete, r.in_scope::bigint as records_in_scope_count, (r.in_scope - r.dirty)::bigint as records_clean_count,
    (1.0 * (r.in_scope - r.dirty) / r.in_scope)::decimal(9, 6) as clean_share, r.in_scope < 10 as is_small_sample
from running as r inner join core.dim_dates as d on r.week_start_date = d.date_day
where r.in_scope > 0;

create table hygiene.worklist as
select
    row_number() over (order by e.forecast_amount_at_stake desc, r.severity <> 'error', e.amount_base desc, e.first_seen_date, e.exception_id)::integer as worklist_rank,
    e.exception_id, e.rule_id, r.sentence, r.severity, r.owner, e.evidence, e.opportunity_id, o.opportunity_name, o.account_id, a.account_name, o.source_system, e.rep_id,
    coalesce(p.rep_name, e.rep_id) as rep_name, e.team, e.segment, o.stage, o.outcome, o.forecast_category, o.close_date, e.amount_base, e.forecast_amount_at_stake, e.first_seen_date, e.days_standing
from hygiene.exceptions as e
inner join hygiene.rules as r on e.rule_id = r.rule_id
inner join core.fct_opportunities as o on e.opportunity_id = o.opportunity_id
left join core.dim_accounts as a on o.account_id = a.account_id
left join (select rep_id, arg_max(rep_name, valid_from_date) as rep_name from assignments group by rep_id) as p on e.rep_id = p.rep_id
where e.resolved_date is null;
