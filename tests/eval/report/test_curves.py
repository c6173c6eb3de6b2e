"""The curves of a report: only metrics with values are drawn, and final accuracies are levels."""

from eval.report.curves import curves
from tests.eval.run_folder import metrics, summary


def test_only_metrics_with_values_are_drawn():
    assert curves({}, []) == []
    rows = [{"queries": 100 * update, "reward": update / 10, "kl": None, "entropy": float("nan")} for update in (1, 2)]
    assert [chart["title"] for chart in curves({}, rows)] == ["Reward"]


def test_every_term_of_the_reward_is_a_line():
    rows = [{"queries": 100 * update, "reward/novelty": 0.5, "reward/mine": 0.25} for update in (1, 2)]
    (chart,) = curves({}, rows)
    assert chart["title"] == "Terms of the reward" and "novelty: 0.5" in chart["svg"] and "mine: 0.25" in chart["svg"]


def test_agreement_beyond_chance_is_drawn_below_zero_too():
    rows = [{"queries": 100 * update, "kappa": kappa} for update, kappa in ((1, -0.1), (2, 0.6))]
    (chart,) = curves({}, rows)
    assert chart["title"].startswith("Agreement beyond chance") and "kappa: -0.1" in chart["svg"]


def test_final_accuracies_are_levels_beside_the_curve():
    (chart,) = [chart for chart in curves(summary(), metrics()) if chart["title"].startswith("Accuracy")]
    assert chart["svg"].count('class="level') >= 2 and "prompted, at the end" in chart["svg"]
    assert not [chart for chart in curves(summary(), []) if chart["title"].startswith("Accuracy")]


def test_the_matthews_correlation_has_a_chart_of_its_own():
    found = {"teacher": {"matthews_correlation": 0.6}, "students": {"real": {"matthews_correlation": 0.4}, "corpus": {}}}
    rows = [{"queries": 100 * update, "matthews_correlation": 0.1 * update} for update in (1, 2)]
    (chart,) = curves(found, rows)
    assert chart["title"].startswith("Matthews correlation") and chart["svg"].count('class="level') >= 2


def test_each_kind_has_the_chart_of_its_metric():
    for metric, title in (
        ("entity_f1", "Entity F1 on the"),
        ("pearson", "Pearson correlation on the"),
        ("micro_f1", "Micro-F1 on"),
    ):
        (chart,) = curves({"teacher": {metric: 0.6}}, [{"queries": 100, metric: 0.1}, {"queries": 200, metric: 0.3}])
        assert chart["title"].startswith(title)


def test_coverage_against_agreement_of_the_finished_student():
    apart = {"coverage": [{"coverage": 0.5, "agreement": 0.98}, {"coverage": 1.0, "agreement": 0.9}, {"coverage": "x"}, 3]}
    (chart,) = curves({}, [], apart)
    assert chart["title"] == "Agreement where the student is surest" and "98 %" in chart["svg"] and "90 %" in chart["svg"]
    assert curves({}, [], {"coverage": "damaged"}) == [] == curves({}, [], {"coverage": [{"coverage": None}]})
