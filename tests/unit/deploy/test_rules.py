"""The rules of Prometheus: about what there is, each explained, and each shown to speak and to be silent."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from tests.unit.deploy.files import OPERATIONS, PROMETHEUS, RULES, TRIALS, family, ours_in, read, rules
from tests.unit.deploy.promtool import promtool_says
from tests.unit.docs.test_operations import shown_metrics

pytestmark = pytest.mark.metrics


def test_prometheus_takes_the_rules_and_the_configuration_that_names_them() -> None:
    said = promtool_says("check", "rules", RULES), promtool_says("check", "config", PROMETHEUS / "prometheus.yml")
    assert all(f"{len(rules())} rules found" in each for each in said)


def test_the_rules_do_what_their_trials_say() -> None:
    promtool_says("test", "rules", TRIALS)


def test_they_are_about_metrics_labels_and_jobs_that_there_are() -> None:
    shown, scraped = shown_metrics(), read(PROMETHEUS / "prometheus.yml")
    jobs = {job["job_name"] for job in scraped["scrape_configs"]}
    exprs = [rule["expr"] for rule in rules()]
    for expr in exprs:
        for name, selected_by in ours_in(expr).items():
            assert selected_by <= shown[family(name, shown)]
        for job in re.findall(r'job=~?"([^"]+)"', expr):
            assert set(job.split("|")) <= jobs
    # Where nothing is there to be added up, that has to count as 0; and a process that is gone, to be noticed.
    assert all("vector(0)" in expr for expr in exprs if "sum(" in expr)
    assert any(expr.startswith("up{") for expr in exprs)


def test_what_a_rule_tells_of_is_a_label_that_it_has() -> None:
    shown = shown_metrics()
    for rule in rules():
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        names = [family(name, shown) for name in ours_in(rule["expr"])]
        assert told <= {"job", "instance"}.union(*(shown[name] for name in names)), rule["alert"]


def test_each_is_explained_in_its_order_and_says_how_urgent_it_is() -> None:
    alerts = [rule["alert"] for rule in rules()]
    assert len(alerts) == len(set(alerts))
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}
    table = OPERATIONS.read_text(encoding="utf-8").partition("<!-- alerts -->")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == alerts


def test_each_is_tried_both_ways() -> None:
    tried = defaultdict(set)
    for trial in read(TRIALS)["tests"]:
        for each in trial["alert_rule_test"]:
            tried[each["alertname"]].add(bool(each["exp_alerts"]))
    assert tried == {rule["alert"]: {True, False} for rule in rules()}
