-- One row per person and stretch of time with one spell, status, role, team, segment and manager. Stretches follow each other without
-- a gap; a re-hire after leaving is a new spell, a leave is not a departure. What changed is dated by the system where it says so.

with user_versions as (

    select
        'salesforce' as source_system,
        source_user_id,
        role, team, segment, region, manager_id,
        coalesce(employment_status, case when is_active = false then 'left' else 'active' end) as status,
        end_reason,
        coalesce(start_date, {{ business_date('created_at') }}) as start_date,
        start_date as hire_date,
        end_date,
        status_since_date,
        {{ business_date('coalesce(last_modified_at, _extracted_at)') }} as modified_date,
        _load_id, _version
    from {{ ref('stg_salesforce__users') }}
    union all
    select
        source_system,
        source_user_id,
        role, team, segment, region, manager_id,
        case when end_date is not null or is_active = false then 'left' else 'active' end,
        end_reason,
        coalesce(start_date, hire_date),
        coalesce(hire_date, start_date),
        end_date,
        null,
        {{ business_date('_extracted_at') }},
        _load_id, _version
    from {{ ref('stg_files__users') }}
    union all
    select
        'hubspot',
        source_user_id,
        null, team, null, null, null,
        case when is_archived then 'left' else 'active' end,
        null,
        {{ business_date('created_at') }},
        null,
        null,
        null,
        {{ business_date('coalesce(last_modified_at, _extracted_at)') }},
        _load_id, _version
    from {{ ref('stg_hubspot__owners') }}
    union all
    select
        'gong',
        source_user_id,
        null, null, null, null, manager_id,
        case when is_active = false then 'left' else 'active' end,
        null,
        {{ business_date('created_at') }},
        null,
        null,
        null,
        {{ business_date('_extracted_at') }},
        _load_id, _version
    from {{ ref('stg_gong__users') }}
    union all
    -- people who are only named on a deal or as somebody's manager
    select source_system, source_user_id, null, null, null, null, null, 'active', null, null, null, null, null, null, 0, 1
    from {{ ref('int_users_matched') }}
    where not is_user

),

versions as (

    select
        v.*,
        u.rep_id,
        u.user_name,
        u.email,
        u.default_role,
        u.source_user_id = u.rep_id as is_leading_user,
        coalesce(v.start_date, {{ business_date('n.history_starts_at') }}, n.as_of_date) as began_date,
        row_number() over (partition by v.source_system, v.source_user_id order by v._load_id, v._version) as version_number,
        lag(v.status) over (partition by v.source_system, v.source_user_id order by v._load_id, v._version) as previous_status,
        lag(v.start_date) over (partition by v.source_system, v.source_user_id order by v._load_id, v._version) as previous_start_date,
        lead(v._version) over (partition by v.source_system, v.source_user_id order by v._load_id, v._version) is null as is_latest,
        case when v.status = 'left' then coalesce({{ plus_days('v.end_date', 1) }}, v.status_since_date, v.modified_date) end as left_date
    from user_versions as v
    inner join {{ ref('int_users_matched') }} as u
        on v.source_system = u.source_system and v.source_user_id = u.source_user_id and u.source_system = u.leading_source_system
    cross join {{ ref('int_as_of') }} as n

),

users as (

    select * from versions where is_latest

),

given_assignments as (

    select
        a.*,
        u.rep_id,
        u.default_role,
        lead(a.valid_from_date) over (partition by a.source_system, a.source_user_id order by a.valid_from_date) as next_from_date
    from {{ ref('stg_files__user_assignments') }} as a
    inner join {{ ref('int_users_matched') }} as u
        on a.source_system = u.source_system and a.source_user_id = u.source_user_id and u.source_system = u.leading_source_system
    where not a.is_deleted

),

assigned_users as (

    select distinct source_system, source_user_id from given_assignments

),

statuses as (

    -- the first day, and a later first day of the same user, which is a re-hire
    select v.rep_id, v.source_user_id, v.began_date as from_date, 'active' as status, cast(null as varchar) as end_reason, 1 as precedence
    from versions as v
    left join assigned_users as g on v.source_system = g.source_system and v.source_user_id = g.source_user_id
    where g.source_user_id is null and (v.version_number = 1 or v.start_date <> v.previous_start_date)
    union all
    select v.rep_id, v.source_user_id, coalesce(v.status_since_date, v.modified_date), v.status, null, 2
    from versions as v
    where v.status in ('active', 'leave')
        and v.status <> coalesce(v.previous_status, 'active')
        and coalesce(v.status_since_date, v.modified_date) >= v.began_date
    union all
    select v.rep_id, v.source_user_id, v.left_date, 'left', v.end_reason, 3
    from versions as v
    where v.left_date is not null and (v.version_number = 1 or v.previous_status <> 'left' or v.is_latest)
    union all
    select rep_id, source_user_id, valid_from_date, coalesce(employment_status, 'active'), end_reason, 2
    from given_assignments
    union all
    select rep_id, source_user_id, valid_to_date, 'left', end_reason, 3
    from given_assignments
    where valid_to_date is not null
        and employment_status is distinct from 'left'
        and (next_from_date is null or next_from_date > {{ plus_days('valid_to_date', 1) }})

),

-- somebody who leaves as one user and is at work as another has not left
kept_statuses as (

    select s.*
    from statuses as s
    where s.status <> 'left'
        or not exists (
            select 1
            from users as other
            where other.rep_id = s.rep_id
                and other.source_user_id <> s.source_user_id
                and other.began_date <= s.from_date
                and (other.left_date is null or other.left_date > s.from_date)
        )

),

attributes as (

    select
        v.rep_id,
        case when v.version_number = 1 then v.began_date else v.modified_date end as from_date,
        v._load_id, v._version,
        coalesce(v.role, v.default_role) as role, v.team, v.segment, v.region, v.manager_id, v.source_system
    from versions as v
    left join assigned_users as g on v.source_system = g.source_system and v.source_user_id = g.source_user_id
    where g.source_user_id is null
        and (v.version_number = 1 or v.left_date is null or v.modified_date < v.left_date)
        and (v.version_number = 1 or v.modified_date >= v.began_date)
    union all
    select
        a.rep_id,
        a.valid_from_date,
        0, 1,
        coalesce(a.role, a.default_role), coalesce(a.team, u.team), coalesce(a.segment, u.segment), u.region, coalesce(a.manager_id, u.manager_id), a.source_system
    from given_assignments as a
    left join users as u on a.source_system = u.source_system and a.source_user_id = u.source_user_id

),

numbered_attributes as (

    select *, cast(row_number() over (partition by rep_id order by from_date, _load_id, _version) as integer) as attribute_number
    from attributes

),

numbered_statuses as (

    select *, cast(row_number() over (partition by rep_id order by from_date, precedence) as integer) as status_number
    from kept_statuses

),

boundaries as (

    select rep_id, from_date, max(attribute_number) as attribute_number, max(status_number) as status_number
    from (
        select rep_id, from_date, attribute_number, null as status_number from numbered_attributes
        union all
        select rep_id, from_date, null, status_number from numbered_statuses
    ) as events
    group by rep_id, from_date

),

carried as (

    select
        rep_id,
        from_date,
        coalesce({{ last_known('attribute_number', 'rep_id', 'from_date') }}, 1) as attribute_number,
        {{ last_known('status_number', 'rep_id', 'from_date') }} as status_number
    from boundaries

),

stretches as (

    select
        c.rep_id,
        c.from_date,
        s.status,
        case when s.status = 'left' then s.end_reason end as end_reason,
        a.role, a.team, a.segment, a.region,
        coalesce(m.rep_id, a.manager_id) as manager_id,
        lag(s.status) over (partition by c.rep_id order by c.from_date) as previous_status,
        coalesce(s.status, '') || '|' || coalesce(s.end_reason, '') || '|' || coalesce(a.role, '') || '|' || coalesce(a.team, '') || '|' || coalesce(a.segment, '')
        || '|' || coalesce(a.region, '') || '|' || coalesce(m.rep_id, a.manager_id, '') as attributes
    from carried as c
    inner join numbered_statuses as s on c.rep_id = s.rep_id and c.status_number = s.status_number
    left join numbered_attributes as a on c.rep_id = a.rep_id and c.attribute_number = a.attribute_number
    left join {{ ref('int_users_matched') }} as m on a.source_system = m.source_system and a.manager_id = m.source_user_id

),

spelled as (

    select
        *,
        greatest(sum(case when status <> 'left' and coalesce(previous_status, 'left') = 'left' then 1 else 0 end)
            over (partition by rep_id order by from_date rows unbounded preceding), 1) as spell_number,
        lag(attributes) over (partition by rep_id order by from_date) as previous_attributes
    from stretches

),

changed as (

    select * from spelled where previous_attributes is null or attributes <> previous_attributes

),

people as (

    select rep_id, user_name as rep_name, email, hire_date
    from users
    where is_leading_user

)

select
    c.rep_id,
    p.rep_name,
    p.email,
    cast(c.spell_number as integer) as spell_number,
    c.role,
    c.team,
    c.segment,
    c.region,
    c.manager_id,
    c.status,
    c.end_reason,
    c.from_date as valid_from_date,
    lead(c.from_date) over (partition by c.rep_id order by c.from_date) as valid_to_date,
    min(c.from_date) over (partition by c.rep_id, c.spell_number) as spell_start_date,
    {{ plus_days("min(case when c.status = 'left' then c.from_date end) over (partition by c.rep_id, c.spell_number)", -1) }} as spell_end_date,
    coalesce(p.hire_date, min(c.from_date) over (partition by c.rep_id)) as hire_date
from changed as c
inner join people as p on c.rep_id = p.rep_id
