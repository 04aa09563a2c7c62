"""The words canonical columns may hold and the bounds their numbers keep; a mapping translates an export into them.

Free text has no entry. Stages, pipelines and the fields of a history come from the mapping and the shapes instead.
"""

from dagster_project.sources.files.shapes import TABLES

_ROLES = ("rep", "manager", "sdr", "se", "other")
_END_REASONS = ("voluntary", "involuntary", "other")

OUTCOMES = ("open", "won", "lost")
FORECAST_CATEGORIES = ("commit", "best_case", "pipeline", "omitted")

# The columns of a deal whose changes a history may tell
HISTORY_FIELDS = tuple(
    column
    for table in TABLES
    if table.name == "opportunities"
    for column in table.columns
    if column not in ("source_system", "opportunity_id", "extra_attributes")
)

WORDS = {
    ("users", "role"): _ROLES,
    ("users", "end_reason"): _END_REASONS,
    ("user_assignments", "role"): _ROLES,
    ("user_assignments", "end_reason"): _END_REASONS,
    ("user_assignments", "status"): ("active", "leave", "left"),
    ("opportunities", "type"): ("new", "expansion", "renewal"),
    ("opportunities", "forecast_category"): FORECAST_CATEGORIES,
    ("opportunity_history", "field"): HISTORY_FIELDS,
    ("activities", "type"): ("call", "meeting", "demo", "email", "task"),
    ("activities", "direction"): ("inbound", "outbound"),
    ("quotas", "type"): ("full", "ramped"),
    ("forecast_calls", "scope"): ("own", "team"),
    ("currency_rates", "rate_type"): ("plan", "dated"),
}

# What a row without a value of its own means
DEFAULTS = {("quotas", "type"): "full", ("forecast_calls", "scope"): "own", ("currency_rates", "rate_type"): "dated"}

# Names the design gives to columns that SQL reserves
ALIASES = {("currency_rates", "from"): "from_currency", ("currency_rates", "to"): "to_currency"}

# Columns a mapping must give although a row may leave them empty: a history may tell that a field was emptied
MAY_BE_EMPTY = {("opportunity_history", "new_value")}

# A row must fill one of these
EITHER = {"quotas": ("user_id", "team"), "activity_participants": ("email", "contact_id")}

# Lowest and highest value; a probability of 90 is a percentage nobody declared
BOUNDS = {("opportunities", "probability"): ("0", "1"), ("opportunities", "discount_rate"): (None, "1")}

CURRENCY_COLUMNS = ("currency_code", "from_currency", "to_currency")

# ISO 4217, the codes of money in use
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF
    CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL
    HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD
    MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR
    RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
    UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905
)
