"""dbt's own unit tests: each model's SQL on rows small enough to work out by hand."""


def test_every_dbt_unit_test_passes(demo_company):
    nodes = list(demo_company.dbt.unit_tests())
    assert len(nodes) > 20
    assert [f"{node.name}: {node.message}" for node in nodes if node.status != "pass"] == []
