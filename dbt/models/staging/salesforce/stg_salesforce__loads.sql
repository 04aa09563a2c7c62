select
    loads.load_id,
    loads.origin,
    loads.system,
    min(loads.first_extracted_at) as first_extracted_at,
    max(loads.extracted_at) as last_extracted_at,
    max(loads.loaded_at) as loaded_at
from {{ source('raw_salesforce', 'loads') }} as loads
inner join {{ source('ops', 'active_sources') }} as active
    on loads.origin = active.origin and loads.system = active.system
where loads.status = 'accepted'
group by loads.load_id, loads.origin, loads.system
