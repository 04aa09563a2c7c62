{{ accepted_loads('raw_gong') }}
