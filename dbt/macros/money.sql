{# An amount times a rate or a share, to the cent. In 38 digits, because DuckDB gives the product of two decimals of 18 digits no more than 18 and
   fails beyond: at eight digits of the rate that is a hundred million. #}
{% macro cents(amount, factor) -%} cast(round(cast({{ amount }} as decimal(38, 6)) * {{ factor }}, 2) as decimal(18, 2)) {%- endmacro %}

{#
    What a booking is worth in base currency: at the dated rate of its day or, where there is none, at the rate the pipeline was valued
    at. `booking` names a relation with amount, currency_code and booking_date; the amount needs the joins of `booking_rates`, r and o.
#}
{% macro booked_amount(booking) -%} {{ cents('coalesce(' ~ booking ~ '.amount, 0)', 'coalesce(r.rate_to_base, o.rate_to_base, 0)') }} {%- endmacro %}
{% macro booking_rates(booking) -%}
    left join {{ ref('int_currency_rates') }} as r
        on {{ booking }}.currency_code = r.currency_code and r.rate_type = 'dated' and {{ holds_on('r', booking ~ '.booking_date') }}
    left join {{ ref('int_valuation_rates') }} as o
        on {{ booking }}.currency_code = o.currency_code and {{ holds_on('o', booking ~ '.booking_date') }}
{%- endmacro %}
