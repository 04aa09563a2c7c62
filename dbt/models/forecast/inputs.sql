-- One row per open deal, at the newest lock: all that the forecast may use, as it was known when the lock was taken. What was learned
-- after the lock is not in it. This is the table the expectations guard; once it has passed it is frozen, and from then on read as it
-- was frozen. Earlier locks are in forecast.locked_inputs.

{%- set columns = model['columns'].keys() | join(', ') %}

select {{ columns }}
from {{ ref('int_inputs_due') }}
where not is_backfilled
union all
select {{ columns }}
from {{ source('archive', 'locked_inputs') }}
where company_id = (select company_id from {{ source('ops', 'company') }})
    and lock_date = (select lock_date from {{ ref('int_as_of') }})
