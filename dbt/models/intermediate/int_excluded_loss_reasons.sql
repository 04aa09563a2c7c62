-- One row per loss reason that the narrow win rates leave out, in lower case.

select distinct lower(trim(reason)) as loss_reason
from {{ ref('excluded_loss_reasons') }}
where reason is not null
