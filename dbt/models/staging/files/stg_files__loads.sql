{{ accepted_loads('raw_files') }}
