{# An amount times a rate or a share, to the cent. In 38 digits, because DuckDB gives the product of two decimals of 18 digits no more than 18 and
   fails beyond: at eight digits of the rate that is a hundred million. #}
{% macro cents(amount, factor) -%} cast(round(cast({{ amount }} as decimal(38, 6)) * {{ factor }}, 2) as decimal(18, 2)) {%- endmacro %}
