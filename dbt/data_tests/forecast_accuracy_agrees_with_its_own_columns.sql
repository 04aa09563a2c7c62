-- Protects forecast_accuracy: a quarter has one actual whatever the week and the method, errors of children never cancel out, and
-- there is no ratio over 0.
select level, level_id, quarter_start_date, week_of_quarter, method
from {{ ref('forecast_accuracy') }}
where children_error_amount < abs(error_amount) - 0.005
    or (actual_amount = 0 and coalesce(accuracy, bias, wape) is not null)
    or is_settled <> (actual_amount is not null)
    or abs(1 - accuracy - abs(bias)) > 0.00001
union all
select level, level_id, quarter_start_date, null, null
from {{ ref('forecast_accuracy') }}
where method <> 'manager_commit'
group by level, level_id, quarter_start_date
having max(case when actual_amount > 0 then actual_amount end) <> min(case when actual_amount > 0 then actual_amount end)
