-- One row per level, fiscal quarter and base: the distance to quota, split to the cent into what the quota asks beyond the base and
-- what deals in play, speed, win rate and deal size each did. The base is the place's own trailing four quarters, and again its peers.
-- In the running quarter the base is taken by the same day of the quarter, so that like stands beside like.

-- depends_on: {{ ref('inputs') }}
{{ config(pre_hook="{{ require_gate(ref('inputs')) }}") }}

{%- set measures = ['deal_count', 'closed_count', 'won_count', 'won_amount', 'winning_days', 'timed_win_count'] %}
{%- set factors = ['deal_count', 'closed_rate', 'win_rate', 'average_won_amount'] %}
{%- set levers = {'deals_in_play': 'deal_count', 'speed': 'closed_rate', 'win_rate': 'win_rate', 'deal_size': 'average_won_amount'} %}
{%- set parts = ['stretch'] + levers | list %}

with places as (

    select
        *,
        -- own: the whole quarters among the four before in which there was anything in play
        sum(case when is_whole and deal_count > 0 then 1 else 0 end) over own as own_count,
        -- peers: those of the same group in the same quarter, this one left out
        coalesce(sum(case when is_peer then 1 else 0 end) over peers, 0) - case when is_peer then 1 else 0 end as peer_count,
        sum(case when is_peer then quota_amount else 0 end) over peers - case when is_peer then quota_amount else 0 end as peer_quota_amount,
        {%- for measure in measures %}
        sum(case when is_whole then {{ measure }} else 0 end) over own as own_{{ measure }},
        sum(case when is_whole then {{ measure }}_by_day else 0 end) over own as own_{{ measure }}_by_day,
        sum(case when is_peer then {{ measure }} else 0 end) over peers - case when is_peer then {{ measure }} else 0 end
            as peer_{{ measure }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ ref('int_lever_places') }}
    window
        own as (partition by level, level_id order by quarter_number range between 4 preceding and 1 preceding),
        peers as (partition by level, peer_group, quarter_start_date)

),

based as (

    select
        *,
        'own' as base,
        own_count as base_count,
        1e0 / nullif(own_count, 0) as base_scale,
        {%- for measure in measures %}
        coalesce(case when is_complete then own_{{ measure }} else own_{{ measure }}_by_day end, 0) as base_{{ measure }},
        -- what the base did after this day of the quarter, a quarter on average
        case when not is_complete then 1e0 * (own_{{ measure }} - own_{{ measure }}_by_day) / nullif(own_count, 0) end as rest_{{ measure }},
        {%- endfor %}
        case when own_count > 0 then null else 'no whole quarter before it had deals in play' end as base_reason
    from places

    union all

    -- peers as they would be with this quota
    select
        *,
        'peers',
        case when peer_group is null then 0 else peer_count end,
        1e0 * quota_amount / nullif(peer_quota_amount, 0),
        {%- for measure in measures %}
        peer_{{ measure }},
        null,
        {%- endfor %}
        case
            when level = 'company' then 'a company has no peers here'
            when level = 'segment' then 'segments sell to different customers and are no peers'
            when level = 'team' and (peer_group is null or peer_count < 1) then 'no other team sells to this segment'
            when level = 'rep' and (peer_group is null or peer_count < {{ var('minimum_peers') }})
                then 'fewer than {{ var("minimum_peers") }} other reps of the segment had a quota and deals in play'
        end
    from places

),

factored as (

    select
        level,
        level_id,
        fiscal_quarter,
        quarter_start_date,
        quarter_end_date,
        base,
        is_complete,
        measured_to_date,
        quota_amount,
        deal_count,
        closed_count,
        won_count,
        won_amount,
        1e0 * closed_count / nullif(deal_count, 0) as closed_rate,
        1e0 * won_count / nullif(closed_count, 0) as win_rate,
        1e0 * won_amount / nullif(won_count, 0) as average_won_amount,
        case when base_reason is null then base_count else 0 end as base_count,
        case when base_reason is null then base_closed_count end as base_closed_count,
        case when base_reason is null then base_deal_count * base_scale end as base_deal_count,
        case when base_reason is null then 1e0 * base_closed_count / nullif(base_deal_count, 0) end as base_closed_rate,
        case when base_reason is null then 1e0 * base_won_count / nullif(base_closed_count, 0) end as base_win_rate,
        case when base_reason is null then 1e0 * base_won_amount / nullif(base_won_count, 0) end as base_average_won_amount,
        case when base_reason is null then base_won_amount * base_scale end as base_won_amount,
        rest_won_amount,
        rest_closed_count,
        1e0 * rest_won_count / nullif(rest_closed_count, 0) as rest_win_rate,
        1e0 * rest_won_amount / nullif(rest_won_count, 0) as rest_average_won_amount,
        -- money won in the rest of the quarter for each unit of pipeline, at the size of what is won
        1e0 * rest_won_count / nullif(base_deal_count / nullif(1e0 * own_count, 0) + rest_deal_count - base_closed_count / nullif(1e0 * own_count, 0), 0)
            as rest_yield,
        case when base = 'own' then 1e0 * own_winning_days / nullif(own_timed_win_count, 0) end as mean_days_to_win,
        case
            when quota_amount <= 0 then 'no quota in the quarter'
            when deal_count = 0 then 'no deal was in play'
            when closed_count = 0 then 'no deal was closed, so there is no win rate'
            when won_count = 0 then 'no deal was won, so there is no deal size'
            when base_reason is not null then base_reason
            when base_deal_count = 0 then 'the base had no deals in play by then'
            when base_closed_count = 0 then 'the base had closed no deal by then, so it has no win rate'
            when base_won_count = 0 then 'the base had won no deal by then, so it has no deal size'
        end as undefined_reason
    from based

),

split as (

    select
        *,
        quota_amount - won_amount as gap_amount,
        quota_amount - cast(round(base_won_amount, 2) as decimal(18, 2)) as stretch_part,
        {%- for lever, factor in levers.items() %}
        {{ shapley_part(factor, factors) }} as {{ lever }}_part{{ ',' if not loop.last }}
        {%- endfor %}
    from factored

),

running as (

    -- cents are rounded along the running sum, in this order, so that the parts add up to the gap and each is off by less than one
    select
        *,
        {%- for part in parts %}
        {%- if not loop.last %}
        cast(round({% for earlier in parts[:loop.index] %}{{ ' + ' if not loop.first }}{{ earlier }}_part{% endfor %}, 2) as decimal(18, 2)) as up_to_{{ part }}{{ ',' if loop.index < 4 }}
        {%- endif %}
        {%- endfor %}
    from split

),

rounded as (

    select
        *,
        {%- for part in parts %}
        case when undefined_reason is null then
            {{ 'gap_amount' if loop.last else 'up_to_' ~ part }}{{ ' - up_to_' ~ parts[loop.index0 - 1] if not loop.first }}
        end as {{ part }}_gap_amount{{ ',' if not loop.last }}
        {%- endfor %}
    from running

),

measured as (

    select
        r.*,
        {%- for part in parts %}
        case when r.undefined_reason is null then i.{{ part }}_low end as {{ part }}_gap_low_amount,
        case when r.undefined_reason is null then i.{{ part }}_high end as {{ part }}_gap_high_amount,
        {%- endfor %}
        -- what is still missing if the rest of the quarter goes as usual, and by how much the rest would have to be better
        r.gap_amount - r.rest_won_amount as missing_amount,
        case when r.is_complete then 1e0 * r.quota_amount / nullif(r.won_amount, 0) else 1e0 * r.gap_amount / nullif(r.rest_won_amount, 0) end
            as needed_multiple,
        {{ plus_days('r.quarter_end_date', 'cast(-ceil(r.mean_days_to_win) as integer)') }} as latest_entry_date
    from rounded as r
    left join {{ source('intermediate', 'lever_intervals') }} as i
        on r.level = i.level and r.level_id = i.level_id and r.quarter_start_date = i.quarter_start_date and r.base = i.base

),


worded as (

    select
        m.*,
        case
            when base = 'peers' then ' at peers' || case when is_complete then '' else ' so far' end
            else case when is_complete then ' in the ' else ' by this day in the ' end
                || case when base_count = 1 then 'quarter' else cast(base_count as varchar) || ' quarters' end || ' before'
        end as beside,
        {%- for part in parts %}
        case
            when {{ part }}_gap_amount is null then ''
            when abs({{ part }}_gap_amount) < 0.5 then ': nothing of the gap'
            else ': ' || case when {{ part }}_gap_amount < 0 then 'takes ' else 'adds ' end || {{ money_words(part ~ '_gap_amount') }}
                || case when {{ part }}_gap_amount < 0 then ' off the gap' else ' to the gap' end
                || case when {{ part }}_gap_low_amount <= 0 and {{ part }}_gap_high_amount >= 0 then ', within chance' else '' end
        end as {{ part }}_effect,
        {%- endfor %}
        base = 'own' and gap_amount > 0 and needed_multiple > 1 as is_missing
    from measured as m

)

select
    level,
    level_id,
    fiscal_quarter,
    quarter_start_date,
    base,
    is_complete,
    measured_to_date,
    cast(quota_amount as decimal(18, 2)) as quota_amount,
    cast(won_amount as decimal(18, 2)) as won_amount,
    cast(gap_amount as decimal(18, 2)) as gap_amount,
    {%- for part in parts %}
    cast({{ part }}_gap_amount as decimal(18, 2)) as {{ part }}_gap_amount,
    cast({{ part }}_gap_low_amount as decimal(18, 2)) as {{ part }}_gap_low_amount,
    cast({{ part }}_gap_high_amount as decimal(18, 2)) as {{ part }}_gap_high_amount,
    {%- endfor %}
    undefined_reason,
    cast(deal_count as bigint) as deal_count,
    cast(closed_count as bigint) as closed_count,
    cast(won_count as bigint) as won_count,
    cast(closed_rate as decimal(9, 6)) as closed_rate,
    cast(win_rate as decimal(9, 6)) as win_rate,
    cast(average_won_amount as decimal(18, 2)) as average_won_amount,
    cast(base_count as integer) as base_count,
    cast(base_deal_count as decimal(18, 4)) as base_deal_count,
    cast(base_closed_rate as decimal(9, 6)) as base_closed_rate,
    cast(base_win_rate as decimal(9, 6)) as base_win_rate,
    cast(base_average_won_amount as decimal(18, 2)) as base_average_won_amount,
    cast(round(base_won_amount, 2) as decimal(18, 2)) as base_won_amount,
    cast(rest_won_amount as decimal(18, 2)) as base_rest_amount,
    cast(missing_amount as decimal(18, 2)) as missing_amount,
    latest_entry_date,
    'Quota' || case when stretch_part < 0 then ' is ' else ' asks for ' end || {{ money_words('stretch_part') }}
        || case when stretch_part < 0 then ' below the ' else ' more than the ' end || {{ money_words('base_won_amount') }}
        || case when base = 'peers' then ' that peers with this quota won' else ' won on average' end || case when base = 'peers' then case when is_complete then '' else ' so far' end else beside end
        || case when rest_won_amount > 0 then '; ' || {{ money_words('rest_won_amount') }} || ' more usually comes after this day' else '' end
        || '.' as stretch_sentence,
    {{ count_words('deal_count') }} || ' deals in play, ' || {{ count_words('base_deal_count') }} || beside || deals_in_play_effect
        || case
            when not is_missing then ''
            when is_complete then '; at this speed, win rate and deal size quota took ' || {{ count_words('deal_count * (needed_multiple - 1)') }} || ' more'
            when latest_entry_date < measured_to_date
                then '; new ones need ' || {{ count_words('mean_days_to_win') }} || ' days to be won, too many to help this quarter'
            else '; at the usual speed, win rate and deal size ' || {{ count_words('missing_amount / nullif(rest_yield * rest_average_won_amount, 0)') }}
                || ' more deals (' || {{ money_words('missing_amount / nullif(rest_yield, 0)') }} || ') in pipeline by ' || cast(latest_entry_date as varchar) || ' make quota'
        end || '.' as deals_in_play_sentence,
    {{ percent_words('closed_rate') }} || ' of the deals in play closed, won or lost, ' || {{ percent_words('base_closed_rate') }} || beside || speed_effect
        || case
            when not is_missing then ''
            when is_complete and closed_rate * needed_multiple > 1 then '; no speed alone made quota'
            when is_complete then '; by this alone quota took ' || {{ percent_words('closed_rate * needed_multiple') }}
            when rest_closed_count * needed_multiple > deal_count - closed_count + base_deal_count
                then '; no speed alone makes quota'
            else '; by this alone ' || {{ count_words('rest_closed_count * needed_multiple') }} || ' more must close in the quarter, where '
                || {{ count_words('rest_closed_count') }} || ' usually do'
        end || '.' as speed_sentence,
    {{ percent_words('win_rate') }} || ' of those closed were won (' || cast(won_count as varchar) || ' of ' || cast(closed_count as varchar) || '), '
        || {{ percent_words('base_win_rate') }} || beside || win_rate_effect
        || case
            when not is_missing then ''
            when is_complete and win_rate * needed_multiple > 1 or not is_complete and rest_win_rate * needed_multiple > 1
                then '; no win rate alone makes quota'
            when is_complete then '; by this alone quota took ' || {{ percent_words('win_rate * needed_multiple') }}
            else '; by this alone the rest of the quarter takes ' || {{ percent_words('rest_win_rate * needed_multiple') }} || ', '
                || {{ count_words('100e0 * rest_win_rate * (needed_multiple - 1)') }} || ' points over the usual ' || {{ percent_words('rest_win_rate') }}
        end || '.' as win_rate_sentence,
    'A win brought ' || {{ money_words('average_won_amount') }} || ', ' || {{ money_words('base_average_won_amount') }} || beside || deal_size_effect
        || case
            when not is_missing then ''
            when is_complete then '; by this alone quota took ' || {{ money_words('average_won_amount * needed_multiple') }}
            else '; by this alone the rest of the quarter takes ' || {{ money_words('rest_average_won_amount * needed_multiple') }}
                || ' a win, where ' || {{ money_words('rest_average_won_amount') }} || ' is usual'
        end || '.' as deal_size_sentence,
    closed_count < {{ var('minimum_n') }} or coalesce(base_closed_count, 0) < {{ var('minimum_n') }} as is_small_sample
from worded
