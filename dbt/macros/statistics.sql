{#
    Estimators over counts, in plain SQL: only sums over windows, ln, exp, sqrt and power. Each is computed in double;
    the model that publishes a number casts it. Intervals are two-sided 95 %. Percentiles are in windows.sql.
    tests/test_statistics.py holds each of these against a reference written in numpy.
#}

{# The standard normal quantile of a two-sided 95 % interval. The exponent makes the literal a double on every engine. #}
{% macro z_95() -%} 1.959963984540054e0 {%- endmacro %}

{# Wilson's interval of a share: successes out of n. Null where n is 0. #}
{% macro wilson_low(successes, n) -%} {{ wilson_bound(successes, n, '-') }} {%- endmacro %}
{% macro wilson_high(successes, n) -%} {{ wilson_bound(successes, n, '+') }} {%- endmacro %}
{% macro wilson_bound(successes, n, sign) -%}
    {%- set z = z_95() -%}
    ((2e0 * ({{ successes }}) + {{ z }} * {{ z }} {{ sign }} {{ z }} * sqrt(
        {{ z }} * {{ z }} + 4e0 * ({{ successes }}) * (({{ n }}) - ({{ successes }})) / nullif({{ n }}, 0)
    )) / (2e0 * (({{ n }}) + {{ z }} * {{ z }})))
{%- endmacro %}

{#
    A table expression: the Aalen-Johansen cumulative incidence of an event where another one competes.
    `relation` has one row per `by` (a comma list of columns) and `time` with at_risk_count (those under observation just
    before that time), event_count and competing_count; who is censored shows only as fewer at risk from the next row on.
    Adds survival (neither event yet), incidence (the share that had the event by then) and variance (of the incidence:
    the delta method of Marubini and Valsecchi, as in Stata's stcompet). Rows without an event may be left out.

    The variance at t sums over the times i up to t, with d = events of both kinds and S the survival before i:
      (F_t - F_i)^2 d / (n (n - d))  +  S^2 event (n - event) / n^3  -  2 (F_t - F_i) S event / n^2
    It is written out in running sums, so that no row is joined to the rows before it.
#}
{% macro cumulative_incidence(relation, by, time) -%}
    {%- set so_far = 'over (partition by ' ~ by ~ ' order by ' ~ time ~ ' rows unbounded preceding)' -%}
    {%- set before = 'over (partition by ' ~ by ~ ' order by ' ~ time ~ ' rows between unbounded preceding and 1 preceding)' -%}
    (
        with survivals as (

            select
                *,
                exp(coalesce(sum({{ log_kept_share('event_count + competing_count', 'at_risk_count') }}) {{ before }}, 0e0))
                    as survival_before
            from {{ relation }}

        ),

        incidences as (

            select
                *,
                survival_before * (1e0 - 1e0 * (event_count + competing_count) / at_risk_count) as survival,
                sum(survival_before * event_count / at_risk_count) {{ so_far }} as incidence,
                {{ spread('event_count + competing_count', 'at_risk_count') }} as exit_spread,
                survival_before * event_count / (1e0 * at_risk_count * at_risk_count) as event_spread
            from survivals

        )

        select
            *,
            incidence * incidence * sum(exit_spread) {{ so_far }}
            - 2e0 * incidence * sum(incidence * exit_spread + event_spread) {{ so_far }}
            + sum(
                incidence * incidence * exit_spread
                + 2e0 * incidence * event_spread
                + survival_before * event_spread * (at_risk_count - event_count) / at_risk_count
            ) {{ so_far }} as variance
        from incidences
    )
{%- endmacro %}

{#
    A table expression: the Kaplan-Meier survival. `relation` as above without competing_count; at_risk_count may rise where
    people come under observation late. Adds survival and variance (Greenwood's).
#}
{% macro kaplan_meier(relation, by, time) -%}
    {%- set so_far = 'over (partition by ' ~ by ~ ' order by ' ~ time ~ ' rows unbounded preceding)' -%}
    (
        with survivals as (

            select
                *,
                exp(sum({{ log_kept_share('event_count', 'at_risk_count') }}) {{ so_far }}) as survival,
                sum({{ spread('event_count', 'at_risk_count') }}) {{ so_far }} as greenwood
            from {{ relation }}

        )

        select
            *,
            survival * survival * greenwood as variance
        from survivals
    )
{%- endmacro %}

{# ln(1 - exits / n), summed for a running product; where nobody is kept, a number whose exp is 0. #}
{% macro log_kept_share(exits, n) -%}
    case when {{ exits }} < {{ n }} then ln(1e0 - 1e0 * ({{ exits }}) / {{ n }}) else -1e3 end
{%- endmacro %}

{# d / (n (n - d)), Greenwood's term; 0 where nobody is kept, for there it only ever meets a factor 0. #}
{% macro spread(exits, n) -%}
    coalesce(1e0 * ({{ exits }}) / nullif(1e0 * {{ n }} * ({{ n }} - ({{ exits }})), 0e0), 0e0)
{%- endmacro %}

{#
    The interval of an estimated share by the complementary log-log transform, ln(-ln(1 - share)), which keeps it between 0 and 1.
    Null where the share is 0 or 1, for the transform says nothing there. A survival s has the interval
    1 - interval of (1 - s), which is the usual log-log one.
#}
{% macro share_low(share, variance) -%} {{ share_bound(share, variance, '-') }} {%- endmacro %}
{% macro share_high(share, variance) -%} {{ share_bound(share, variance, '') }} {%- endmacro %}
{% macro survival_low(survival, variance) -%} (1e0 - {{ share_high('(1e0 - ' ~ survival ~ ')', variance) }}) {%- endmacro %}
{% macro survival_high(survival, variance) -%} (1e0 - {{ share_low('(1e0 - ' ~ survival ~ ')', variance) }}) {%- endmacro %}
{% macro share_bound(share, variance, sign) -%}
    {%- set kept = '(1e0 - ' ~ share ~ ')' -%}
    case when {{ share }} > 1e-12 and {{ share }} < 1e0 - 1e-12 then
        1e0 - power({{ kept }}, exp({{ sign }}{{ z_95() }} * sqrt(greatest({{ variance }}, 0e0)) / (-{{ kept }} * ln({{ kept }}))))
    end
{%- endmacro %}
