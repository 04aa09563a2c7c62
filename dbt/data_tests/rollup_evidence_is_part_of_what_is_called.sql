-- rollup: what rests on evidence is part of what is called, and what is called is what evidence supports, only sorted otherwise (omitted
-- deals aside). Would fail: a deal counted in two categories, or held out of the one and not of the other.
select level, level_id, lock_date
from {{ ref('rollup') }}
where commit_evidenced_amount > commit_amount
    or best_case_evidenced_amount > best_case_amount
    or commit_evidenced_amount > commit_supported_amount
    or commit_amount + best_case_amount + pipeline_amount > commit_supported_amount + best_case_supported_amount + pipeline_supported_amount
    or commit_evidenced_share not between 0 and 1
