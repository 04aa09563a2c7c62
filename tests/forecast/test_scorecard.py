"""The scorecard on cases whose truth is known."""

from __future__ import annotations

import numpy as np

from dagster_project.forecast import scorecard

CLASSES = 5  # two features: classes 0 to 2 and 3 to 4


def _cases(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    classes = np.column_stack([rng.integers(0, 3, n), rng.integers(3, 5, n)])
    truth = np.array([-1.0, 0.0, 1.0, -0.5, 0.5])[classes].sum(axis=1) - 0.3
    return classes, (rng.random(n) < 1 / (1 + np.exp(-truth))).astype(float), truth


def test_points_come_near_the_true_log_odds():
    classes, is_event, truth = _cases(60_000)
    card = scorecard.fit(classes, is_event, CLASSES)
    assert np.abs(card.log_odds(classes) - truth).max() < 0.1


def test_chances_add_up_to_the_events():
    classes, is_event, _ = _cases(5_000)
    chances = scorecard.fit(classes, is_event, CLASSES).probability(classes)
    assert abs(chances.mean() - is_event.mean()) < 1e-3


def test_a_class_never_seen_is_worth_nothing_and_one_seldom_seen_next_to_nothing():
    classes, is_event, _ = _cases(2_000)
    classes[classes[:, 0] == 2, 0] = 1
    classes[:2, 0], is_event[:2] = 2, 1
    card = scorecard.fit(classes, is_event, CLASSES + 1)
    assert card.points[CLASSES] == 0
    assert abs(card.points[2]) < 0.2


def test_contributions_tell_how_a_case_differs_from_the_usual_one():
    classes, is_event, _ = _cases(5_000)
    card = scorecard.fit(classes, is_event, CLASSES)
    assert np.abs(card.contributions(classes).mean(axis=0)).max() < 1e-9
    told = card.base + card.usual.sum() + card.contributions(classes).sum(axis=1)
    assert np.allclose(told, card.log_odds(classes))


def test_weights_count_as_repeated_cases():
    classes, is_event, _ = _cases(800)
    twice = scorecard.fit(np.repeat(classes, 2, axis=0), np.repeat(is_event, 2), CLASSES)
    weighted = scorecard.fit(classes, is_event, CLASSES, np.full(800, 2.0))
    assert np.allclose(twice.points, weighted.points, atol=1e-4)


def test_the_same_cases_give_the_same_card():
    classes, is_event, _ = _cases(3_000)
    first, second = (scorecard.fit(classes, is_event, CLASSES) for _ in range(2))
    assert np.array_equal(first.points, second.points) and first.base == second.base
