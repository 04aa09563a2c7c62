-- Protects lever_gap: stretch and the four parts are the gap to the cent wherever there is a split, stretch is quota less the base's
-- product, and a row without a split says why. A residual hidden in a part shows as one that points away from what its factor did.

{%- set levers = {
    'deals_in_play': 'deal_count', 'speed': 'closed_rate', 'win_rate': 'win_rate', 'deal_size': 'average_won_amount'
} %}

select *
from {{ ref('lever_gap') }}
where gap_amount <> quota_amount - won_amount
    or (undefined_reason is null) <> (stretch_gap_amount is not null)
    {%- for lever, factor in levers.items() %}
    or (undefined_reason is null) <> ({{ lever }}_gap_amount is not null)
    or ({{ lever }}_gap_amount > 0.01 and base_{{ factor }} < {{ factor }})
    or ({{ lever }}_gap_amount < -0.01 and base_{{ factor }} > {{ factor }})
    {%- endfor %}
    or stretch_gap_amount + deals_in_play_gap_amount + speed_gap_amount + win_rate_gap_amount + deal_size_gap_amount <> gap_amount
    or stretch_gap_amount <> quota_amount - base_won_amount
