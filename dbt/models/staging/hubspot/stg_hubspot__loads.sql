{{ accepted_loads('raw_hubspot') }}
