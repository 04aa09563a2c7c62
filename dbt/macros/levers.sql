{#
    The Shapley part of one factor in the fall of a product of four from its base: how much less it makes than it did at its base,
    averaged over every order in which the factors may change. Parts of all four add up to base product - product.
    `factors`: column prefixes; a column <factor> beside base_<factor>.
#}
{% macro shapley_part(factor, factors) -%}
    {%- set others = factors | reject('equalto', factor) | list -%}
    {%- set weights = {0: '1e0 / 4', 1: '1e0 / 12', 2: '1e0 / 12', 3: '1e0 / 4'} -%}
    (base_{{ factor }} - {{ factor }}) * (
    {%- for chosen in range(8) %}
        {%- set at_base = [] %}
        {%- set product = [] %}
        {%- for other in others %}
            {%- set is_at_base = (chosen // (2 ** loop.index0)) % 2 == 1 %}
            {%- if is_at_base %}{% do at_base.append(other) %}{% endif %}
            {%- do product.append(('base_' if is_at_base else '') ~ other) %}
        {%- endfor %}
        {{ '+ ' if not loop.first }}{{ weights[at_base | length] }} * {{ product | join(' * ') }}
    {%- endfor %}
    )
{%- endmacro %}

{# Amounts, shares and counts as a person reads them; the sign is told in words. #}
{% macro money_words(amount) -%}
    case
        when abs({{ amount }}) >= 999500 then cast(cast(abs({{ amount }}) / 1e6 as decimal(18, 2)) as varchar) || ' M'
        when abs({{ amount }}) >= 99950 then cast(cast(abs({{ amount }}) / 1e3 as decimal(18, 0)) as varchar) || ' K'
        when abs({{ amount }}) >= 999.5 then cast(cast(abs({{ amount }}) / 1e3 as decimal(18, 1)) as varchar) || ' K'
        else cast(cast(abs({{ amount }}) as decimal(18, 0)) as varchar)
    end
{%- endmacro %}
{% macro percent_words(share) -%} cast(cast(100e0 * ({{ share }}) as decimal(18, 1)) as varchar) || ' %' {%- endmacro %}
{% macro count_words(count) -%} cast(cast({{ count }} as decimal(18, 0)) as varchar) {%- endmacro %}
