-- The marts straight from the source files, as fast as one script of DuckDB's own SQL makes them. Settings are the defaults:
-- fiscal years from January, weeks from Monday, UTC, US dollars. Read with floor.py, which names the files raw_<source>.<table>.

create schema core;
create schema leading_indicators;
create schema lagging_indicators;
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
        cast(1 / nullif(rate, 0) as decimal(18, 8)) as rate_to_base
    from one_a_day
) where valid_to_date is null or valid_from_date < valid_to_date
union all
select 'USD', unnest(['plan', 'dated']), date '1900-01-01', null, 1.0::decimal(18, 8);

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
            from unnest(['stage', 'amount', 'close_date', 'owner_id', 'currency_code', 'forecast_category']) as t(f)) || ', '
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
        concat_ws(',', stage_origin, amount_origin, close_date_origin, owner_id_origin, currency_code_origin, forecast_category_origin) as reconstructed_fields
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
    reconstructed_fields <> '' as is_reconstructed,
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
        lead(valid_from_at) over one as exited_at, lead(stage_order) over one as next_stage_order, lead(outcome) over one as next_outcome,
        lead(is_deleted) over one as is_next_deleted, lead(merged_into_id is not null) over one as is_next_merged
    from (
        select * from core.fct_opportunity_states where stage is not null
        qualify coalesce((pipeline, stage, is_deleted or merged_into_id is not null) <> lag((pipeline, stage, is_deleted or merged_into_id is not null)) over (partition by opportunity_id order by valid_from_at), true)
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
        when s.next_stage_order > s.stage_order then 'advanced'
        else 'regressed'
    end as exit_to,
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
        select *, outcome = 'open' and lag(outcome, 1, 'open') over one <> 'open' as was_reopened, lag(close_date) over one as close_date_before
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
    s.occurred_at, s.duration_minutes, s.direction, s.outcome, s.is_completed and s.occurred_at <= n.as_of_at as is_completed
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
    c.is_completed and c.occurred_at <= n.as_of_at as is_completed
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

create table core.fct_activities as
select
    a.activity_id, a.source_system, if(t.leading_id is null, a.source_system, a.source_system || ',' || t.sources) as sources,
    coalesce(t.type, a.type) as type, coalesce(a.rep_id, 'unassigned') as rep_id, a.account_id, coalesce(a.opportunity_id, t.opportunity_id) as opportunity_id, a.contact_id,
    coalesce(a.direction, t.direction) as direction, a.outcome, coalesce(a.duration_minutes, t.duration_minutes) as duration_minutes, a.is_completed,
    a.is_completed and (
        coalesce(t.type, a.type) in ('meeting', 'demo')
        or (coalesce(t.type, a.type) = 'call' and coalesce(a.outcome = 'connected', false))
        or (a.type = 'email' and coalesce(a.direction = 'inbound', false))
    ) as is_two_way_candidate,
    coalesce(t.duplicate_count, 0)::integer as duplicate_count,
    a.occurred_at::date as activity_date, date_trunc('week', a.occurred_at)::date as week_start_date, a.occurred_at
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

create table core.fct_bookings as
select
    w.opportunity_id, w.fiscal_quarter, w.quarter_start_date, w.booking_date, w.credited_rep_id as rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
    w.amount, w.currency_code, round(coalesce(w.amount, 0) * coalesce(r.rate_to_base, o.rate_to_base, 0), 2)::decimal(18, 2) as won_amount_base
from (
    select s.*, d.fiscal_quarter, d.quarter_start_date
    from core.fct_opportunity_states as s inner join core.dim_dates as d on s.booking_date = d.date_day
    where s.outcome = 'won' and not s.is_deleted and s.merged_into_id is null and not s.is_excluded
        and (s.valid_to_at is null or s.valid_to_at >= (d.quarter_end_date + 1)::timestamp)
    qualify row_number() over (partition by s.opportunity_id, d.quarter_start_date order by s.valid_from_at) = 1
) as w
left join rates as r on w.currency_code = r.currency_code and r.rate_type = 'dated' and w.booking_date >= r.valid_from_date and w.booking_date < coalesce(r.valid_to_date, 'infinity')
left join open_rates as o on w.currency_code = o.currency_code and w.booking_date >= o.valid_from_date and w.booking_date < coalesce(o.valid_to_date, 'infinity')
left join attributes as a on w.credited_rep_id = a.rep_id and w.booking_date >= a.valid_from_date and w.booking_date < coalesce(a.valid_to_date, 'infinity');

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

create temp table followed as
with entries as (
    select s.*
    from core.fct_stage_stays as s inner join core.fct_opportunities as d on s.opportunity_id = d.opportunity_id
    where s.is_first_entry and s.outcome = 'open' and not d.is_deleted and d.merged_into_id is null and not d.is_excluded
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
    e.*,
    coalesce(f.reached_at < f.lost_at or (f.reached_at is not null and f.lost_at is null), false)::integer as is_reached,
    coalesce(f.lost_at <= f.reached_at or (f.lost_at is not null and f.reached_at is null), false)::integer as is_lost,
    days(e.entered_at, coalesce(least(f.reached_at, f.lost_at), n.as_of_at)) as followed_days,
    days(e.entered_at, n.as_of_at) as known_days
from entries as e cross join instants as n left join fates as f on e.stay_id = f.stay_id;

create table leading_indicators.stage_conversion as
with members as (
    select
        unnest(['company', 'segment', 'team', 'rep']) as level, unnest(['all', segment, team, rep_id]) as level_id, pipeline, stage, fiscal_quarter, quarter_start_date,
        opportunity_id, stage_order, is_reached, is_lost, 1 - is_reached - is_lost as is_open, followed_days, known_days,
        case when followed_days <= 30 then 30 when followed_days <= 60 then 60 when followed_days <= 90 then 90 else 1000000 end as horizon
    from followed
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
    where s.outcome = 'open' and s.exited_at is not null and s.exit_to not in ('deleted', 'merged')
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

create table forecast.inputs as
with lock as (
    select n.lock_date, n.lock_at, d.fiscal_quarter, d.quarter_start_date, d.quarter_end_date
    from instants as n inner join core.dim_dates as d on n.lock_date = d.date_day
),
candidates as (
    select opportunity_id from core.fct_opportunity_states, lock
    where valid_from_at < lock_at and (valid_to_at >= lock_at or valid_to_at is null) and outcome = 'open' and not is_excluded
    union
    select opportunity_id from changes, lock where changed_at < lock_at and learned_at >= lock_at
),
known as (
    select
        c.*,
        row_number() over (partition by c.opportunity_id, c.field order by c.changed_at desc, c.change_order desc) = 1 as is_newest,
        c.field = 'close_date' and c.value > lag(c.value) over (partition by c.opportunity_id, c.field order by c.changed_at, c.change_order) as is_push
    from changes as c semi join candidates as d on c.opportunity_id = d.opportunity_id cross join lock as l
    where c.changed_at < l.lock_at and c.learned_at < l.lock_at
),
standing as (
    select
        opportunity_id,
        max(value) filter (is_newest and field = 'pipeline') as pipeline, max(value) filter (is_newest and field = 'stage') as stage,
        max(value) filter (is_newest and field = 'amount')::decimal(18, 2) as amount, max(value) filter (is_newest and field = 'currency_code') as currency_code,
        max(value) filter (is_newest and field = 'close_date')::date as close_date, max(value) filter (is_newest and field = 'owner_id') as owner_id,
        max(value) filter (is_newest and field = 'forecast_category') as forecast_category, max(value) filter (is_newest and field = 'probability')::decimal(9, 4) as probability,
        max(value) filter (is_newest and field = 'next_step') as next_step, max(value) filter (is_newest and field = 'next_step_date')::date as next_step_date,
        max(value) filter (is_newest and field = 'champion') as champion, max(value) filter (is_newest and field = 'economic_buyer') as economic_buyer,
        max(value) filter (is_newest and field = 'budget_confirmed')::boolean as budget_confirmed,
        max(value) filter (is_newest and field = 'decision_timeline')::date as decision_timeline,
        coalesce(bool_or(value = 'true') filter (is_newest and field = 'is_deleted'), false) as is_deleted,
        max(value) filter (is_newest and field = 'merged_into_id') as merged_into_id, max(value) filter (is_newest and field = 'outcome_flag') as outcome_flag,
        max(changed_at) filter (is_newest and field = 'stage') as stage_since_at,
        coalesce(bool_or(is_reconstructed) filter (is_newest and field in ('stage', 'amount', 'close_date', 'owner_id', 'forecast_category')), false) as is_reconstructed,
        max(learned_at) filter (is_newest) as learned_at,
        count(*) filter (is_push) as push_count
    from known group by opportunity_id
),
touches as (
    select a.opportunity_id, count(*) as activity_count
    from core.fct_activities as a semi join candidates as c on a.opportunity_id = c.opportunity_id cross join lock as l
    where a.is_completed and a.occurred_at < l.lock_at and a.activity_date > l.lock_date - 30
    group by a.opportunity_id
),
people as (
    select rep_id, bool_or(status <> 'left') as is_active from core.dim_reps, lock
    where valid_from_date <= lock_date and (valid_to_date is null or valid_to_date > lock_date) group by rep_id
)
select
    d.opportunity_id, l.lock_date, l.fiscal_quarter, l.quarter_start_date, l.quarter_end_date, i.source_system, d.pipeline, d.stage, s.stage_order, s.stage is not null as is_known_stage,
    coalesce(s.is_pipeline, true) as is_pipeline_stage, d.owner_id as rep_id, coalesce(a.team, 'unassigned') as team, coalesce(a.segment, 'unassigned') as segment,
    coalesce(p.is_active, false) as is_rep_active, d.amount, coalesce(d.currency_code, 'USD') as currency_code, r.rate_to_base, r.rate_to_base is not null as has_rate,
    round(coalesce(d.amount, 0) * coalesce(r.rate_to_base, 0), 2)::decimal(18, 2) as amount_base, d.close_date, coalesce(d.close_date < l.lock_date, false) as is_overdue,
    coalesce(d.forecast_category, s.default_forecast_category, 'pipeline') as forecast_category, coalesce(d.probability, s.default_probability)::decimal(9, 4) as probability,
    i.created_at::date as created_date, (l.lock_date - i.created_at::date)::integer as days_open, (l.lock_date - d.stage_since_at::date)::integer as days_in_stage,
    d.next_step, d.next_step_date, d.champion, d.economic_buyer, d.budget_confirmed, d.decision_timeline, d.push_count::integer as push_count,
    coalesce(t.activity_count, 0)::integer as activity_count_30d, d.is_reconstructed, d.learned_at
from standing as d
cross join lock as l
inner join deals as i on d.opportunity_id = i.opportunity_id
left join core.dim_stages as s on i.source_system = s.source_system and d.pipeline = s.pipeline and d.stage = s.stage
    and s.valid_from_at < l.lock_at and (s.valid_to_at >= l.lock_at or s.valid_to_at is null)
left join attributes as a on d.owner_id = a.rep_id and l.lock_date >= a.valid_from_date and l.lock_date < coalesce(a.valid_to_date, 'infinity')
left join people as p on d.owner_id = p.rep_id
left join open_rates as r on coalesce(d.currency_code, 'USD') = r.currency_code and l.lock_date >= r.valid_from_date and l.lock_date < coalesce(r.valid_to_date, 'infinity')
left join touches as t on d.opportunity_id = t.opportunity_id
where coalesce(d.outcome_flag, s.outcome, 'open') = 'open' and not d.is_deleted and d.merged_into_id is null and not i.is_excluded;
