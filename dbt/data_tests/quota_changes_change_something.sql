-- Protects fct_quota_changes: who goes and comes back on one day, to the same team, changes nothing. Amounts that are not decimals leave
-- a binary fraction behind then, depending on the order in which they are added up.
select *
from {{ ref('fct_quota_changes') }}
where full_quota_amount = 0
