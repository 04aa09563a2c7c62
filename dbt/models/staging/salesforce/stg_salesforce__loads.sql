{{ accepted_loads('raw_salesforce') }}
