"""The Salesforce objects the warehouse reads, as they land in `raw_salesforce`: API field names, one table an object.

`…__c` fields are custom; an org that names them otherwise maps them when it connects.
"""

from dagster_project.sources import Table

_SYSTEM = {"CreatedDate": "TIMESTAMP", "LastModifiedDate": "TIMESTAMP", "SystemModstamp": "TIMESTAMP"}


def _object(table: str, about: str, /, *, key: tuple[str, ...] = ("Id",), full: bool = False, **columns: str) -> Table:
    return Table("salesforce", table, {"Id": "VARCHAR", **columns}, key, full, about)


TABLES = (
    _object("user", "User: sellers and managers; versions are their history of team, manager and status",
        Name="VARCHAR", Email="VARCHAR", Title="VARCHAR", IsActive="BOOLEAN", ManagerId="VARCHAR",
        SalesRole__c="VARCHAR", Team__c="VARCHAR", Segment__c="VARCHAR", Region__c="VARCHAR",
        EmploymentStatus__c="VARCHAR", StartDate__c="DATE", EndDate__c="DATE", EndReason__c="VARCHAR",
        StatusSince__c="DATE", **_SYSTEM),
    _object("account", "Account", Name="VARCHAR", Website="VARCHAR", Industry="VARCHAR", NumberOfEmployees="BIGINT",
        Segment__c="VARCHAR", Region__c="VARCHAR", OwnerId="VARCHAR", ParentId="VARCHAR", MasterRecordId="VARCHAR",
        IsDeleted="BOOLEAN", **_SYSTEM),
    _object("contact", "Contact", AccountId="VARCHAR", Name="VARCHAR", Email="VARCHAR", Title="VARCHAR",
        Role__c="VARCHAR", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("opportunity", "Opportunity: the live record, a version each time a load finds it changed",
        Name="VARCHAR", AccountId="VARCHAR", OwnerId="VARCHAR", CampaignId="VARCHAR", Type="VARCHAR",
        LeadSource="VARCHAR", Product__c="VARCHAR", StageName="VARCHAR", Amount="DECIMAL(18,2)",
        ListAmount__c="DECIMAL(18,2)", Discount__c="DECIMAL(9,4)", CurrencyIsoCode="VARCHAR", Probability="DECIMAL(9,4)",
        ForecastCategoryName="VARCHAR", CloseDate="DATE", IsClosed="BOOLEAN", IsWon="BOOLEAN", NextStep="VARCHAR",
        NextStepDate__c="DATE", Champion__c="VARCHAR", EconomicBuyer__c="VARCHAR", BudgetConfirmed__c="BOOLEAN",
        DecisionTimeline__c="DATE", Competitor__c="VARCHAR", LossReason__c="VARCHAR", MergedIntoId__c="VARCHAR",
        IsDeleted="BOOLEAN", **_SYSTEM),
    _object("opportunity_history", "OpportunityHistory: a row whenever stage, amount, probability, category or close date changed",
        OpportunityId="VARCHAR", CreatedById="VARCHAR", CreatedDate="TIMESTAMP", StageName="VARCHAR",
        Amount="DECIMAL(18,2)", Probability="DECIMAL(9,4)", ForecastCategory="VARCHAR", CloseDate="DATE",
        SystemModstamp="TIMESTAMP", IsDeleted="BOOLEAN"),
    _object("opportunity_field_history", "OpportunityFieldHistory: tracked fields (Owner, CurrencyIsoCode, NextStep …), values as text",
        OpportunityId="VARCHAR", CreatedById="VARCHAR", CreatedDate="TIMESTAMP", Field="VARCHAR", OldValue="VARCHAR",
        NewValue="VARCHAR", IsDeleted="BOOLEAN"),
    _object("opportunity_contact_role", "OpportunityContactRole", OpportunityId="VARCHAR", ContactId="VARCHAR",
        Role="VARCHAR", IsPrimary="BOOLEAN", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("opportunity_stage", "OpportunityStage: the stage picklist; versions are renames and reorders", full=True,
        ApiName="VARCHAR", MasterLabel="VARCHAR", SortOrder="INTEGER", IsActive="BOOLEAN", IsClosed="BOOLEAN",
        IsWon="BOOLEAN", DefaultProbability="DECIMAL(9,4)", ForecastCategoryName="VARCHAR", **_SYSTEM),
    _object("lead", "Lead", Name="VARCHAR", Email="VARCHAR", Company="VARCHAR", LeadSource="VARCHAR", Status="VARCHAR",
        OwnerId="VARCHAR", CampaignId__c="VARCHAR", QualifiedDate__c="TIMESTAMP", IsConverted="BOOLEAN",
        ConvertedDate="DATE", ConvertedOpportunityId="VARCHAR", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("campaign", "Campaign", Name="VARCHAR", Type="VARCHAR", StartDate="DATE", EndDate="DATE",
        ActualCost="DECIMAL(18,2)", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("task", "Task: calls, e-mails and to-dos", OwnerId="VARCHAR", WhatId="VARCHAR", WhoId="VARCHAR",
        AccountId="VARCHAR", TaskSubtype="VARCHAR", Subject="VARCHAR", Status="VARCHAR", IsClosed="BOOLEAN",
        ActivityDate="DATE", CompletedDateTime="TIMESTAMP", CallDurationInSeconds="BIGINT", CallType="VARCHAR",
        CallDisposition="VARCHAR", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("event", "Event: meetings and demos", OwnerId="VARCHAR", WhatId="VARCHAR", WhoId="VARCHAR",
        AccountId="VARCHAR", Type="VARCHAR", Subject="VARCHAR", StartDateTime="TIMESTAMP", EndDateTime="TIMESTAMP",
        Outcome__c="VARCHAR", IsDeleted="BOOLEAN", **_SYSTEM),
    _object("forecasting_type", "ForecastingType: which kind of quota or forecast a row belongs to (Full, Ramped)", full=True,
        DeveloperName="VARCHAR", MasterLabel="VARCHAR", IsActive="BOOLEAN"),
    _object("forecasting_quota", "ForecastingQuota", QuotaOwnerId="VARCHAR", ForecastingTypeId="VARCHAR",
        StartDate="DATE", PeriodEndDate__c="DATE", QuotaAmount="DECIMAL(18,2)", CurrencyIsoCode="VARCHAR", **_SYSTEM),
    _object("forecasting_item", "ForecastingItem: a call, cumulative commit, best case and pipeline a period; versions are submissions",
        OwnerId="VARCHAR", PeriodStartDate="DATE", Scope="VARCHAR", CurrencyIsoCode="VARCHAR",
        CommitAmount="DECIMAL(18,2)", BestCaseAmount="DECIMAL(18,2)", PipelineAmount="DECIMAL(18,2)", **_SYSTEM),
    _object("currency_type", "CurrencyType: plan rates (units of the currency for one of the corporate)", full=True,
        IsoCode="VARCHAR", ConversionRate="DECIMAL(18,8)", StartDate="DATE", IsCorporate="BOOLEAN", IsActive="BOOLEAN"),
    _object("dated_conversion_rate", "DatedConversionRate: dated rates (units of the currency for one of the corporate)",
        IsoCode="VARCHAR", ConversionRate="DECIMAL(18,8)", StartDate="DATE", NextStartDate="DATE", **_SYSTEM),
)
