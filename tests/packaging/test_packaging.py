"""What C{packaging} holds: everything that it names is there, and its tools take it, where they can be had."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from twisted.internet.testing import MemoryReactorClock

from redisproxy import config
from redisproxy.figures.prometheus import OF_WORKERS
from redisproxy.net import tls
from redisproxy.net.twisted_network import TwistedNetwork
from redisproxy.service import ProxyService
from tests.packaging.chart import Chart

pytestmark = pytest.mark.one_twin

ROOT = Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
RULES = PACKAGING / "prometheus" / "rules.yaml"
DASHBOARD = PACKAGING / "grafana" / "redisproxy.json"
CONTAINERFILE = PACKAGING / "container" / "Containerfile"
MOST_EXPOSED = 1.5
"""Of 10, as systemd-analyze counts it."""
OF_OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}


def run(*command: str, cwd: Path | None = None) -> str:
    """What a tool says; the test is skipped where it is not installed, and fails when it does."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which(command[0], path=places)
    if program is None:
        # Where CI runs, a tool that is missing is an installation that has failed, and no reason to look away.
        assert command[0] == "helm" or not os.environ.get("CI"), f"there is no {command[0]} here"
        pytest.skip(f"there is no {command[0]} here")
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- systemd


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The unit files, with a program that is there."""
    for path in (PACKAGING / "systemd").glob("redisproxy.s*t"):
        (tmp_path / path.name).write_text(path.read_text())
    service = (PACKAGING / "systemd" / "redisproxy.service").read_text()
    (tmp_path / "redisproxy.service").write_text(service.replace("/opt/redisproxy/bin/twistd", "/bin/true"))
    return tmp_path


def test_the_units_are_valid(units: Path) -> None:
    names = [str(units / name) for name in ("redisproxy.service", "redisproxy.socket")]
    said = run("systemd-analyze", "verify", "--recursive-errors=no", *names)
    assert not [line for line in said.splitlines() if "redisproxy" in line]


def test_the_service_is_closed_to_whatever_it_does_not_need(units: Path) -> None:
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", "redisproxy.service", cwd=units)
    found = re.search(r"Overall exposure level for redisproxy\.service: ([\d.]+)", said)
    assert found is not None and float(found[1]) <= MOST_EXPOSED, said


def test_the_service_tells_systemd_what_it_has_to_know() -> None:
    unit = (PACKAGING / "systemd" / "redisproxy.service").read_text()
    for line in ("Type=notify", "WatchdogSec=30", "ExecReload=/bin/kill -HUP $MAINPID", "KillMode=process"):
        assert f"\n{line}\n" in unit


# -- container


def test_the_containerfile_is_as_its_linter_wants_it() -> None:
    run("hadolint", str(CONTAINERFILE))


def test_the_containerfile_takes_what_is_there_and_runs_as_nobody() -> None:
    text = CONTAINERFILE.read_text()
    for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
    assert text.count("FROM ") == 2 and "\nUSER 65532:65532\n" in text and "\nSTOPSIGNAL SIGTERM\n" in text
    ignored = (CONTAINERFILE.parent / "Containerfile.containerignore").read_text()
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()}
    assert copied == set(re.findall(r"^!(.+)$", ignored, re.MULTILINE))


# -- Prometheus and Grafana


@cache
def metrics() -> frozenset[str]:
    """The names of all series that the proxy tells."""
    path = ROOT / "config_example.json"
    reactor = MemoryReactorClock()
    service = ProxyService(str(path), config.load(str(path), tls.faults), reactor, TwistedNetwork(reactor))
    exposed: list[bytes] = []
    service.control.operations.metrics().addCallback(exposed.append)
    kinds = dict(re.findall(r"^# TYPE (redisproxy_\w+) (\w+)", exposed[0].decode(), re.MULTILINE))
    total = {"counter": "_total", "gauge": ""}
    kinds |= {f"redisproxy_worker_{name}{total[kind]}": kind for name, kind, _ in OF_WORKERS}
    # Those of a fleet are told by a proxy that is in one; another test compares this page with the program.
    reference = (ROOT / "docs" / "reference-metrics.md").read_text()
    kinds |= dict(re.findall(r"^\| `(redisproxy_fleet_\w+)` \| (\w+)", reference, re.MULTILINE))
    parts = {"histogram": ("_bucket", "_sum", "_count")}
    return frozenset(name + part for name, kind in kinds.items() for part in parts.get(kind, ("",)))


def named(expression: str) -> set[str]:
    """The series in an expression of PromQL."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"|\b(?:by|without) *\([^)]*\)", "", expression)
    return set(re.findall(r"\b(?:redisproxy|process|up)\w*\b", bare))


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def test_alerts_are_about_metrics_that_there_are() -> None:
    for rule in rules():
        assert named(rule["expr"]) and named(rule["expr"]) <= metrics() | OF_OTHERS, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning") and rule["annotations"].keys() == {
            "summary",
            "description",
        }


def test_the_rules_are_as_prometheus_wants_them() -> None:
    assert "SUCCESS" in run("promtool", "check", "rules", str(RULES))


def test_alerts_name_commands_that_there_are() -> None:
    from redisproxy.cli import main

    for rule in rules():
        for name in re.findall(r"\bredisproxy ([a-z-]+)", rule["annotations"]["description"]):
            assert name in main.commands, rule["alert"]


def test_the_dashboard_shows_metrics_that_there_are_and_its_panels_do_not_overlap() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(expressions) > 20
    for expression in expressions:
        assert named(expression) <= metrics() | OF_OTHERS, expression
    assert {panel["id"] for panel in dashboard["panels"]} == set(range(1, len(dashboard["panels"]) + 1))
    cells = [
        (at["x"] + x, at["y"] + y)
        for at in (panel["gridPos"] for panel in dashboard["panels"])
        for x in range(at["w"])
        for y in range(at["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


def test_the_expressions_of_the_dashboard_are_as_prometheus_wants_them(tmp_path: Path) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    plain = [re.sub(r"\$__\w+", "5m", expression) for expression in expressions]
    recorded = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert f"SUCCESS: {len(plain)} rules" in run("promtool", "check", "rules", str(tmp_path / "panels.yaml"))


# -- Helm


@pytest.fixture(scope="module")
def chart() -> Chart:
    return Chart(PACKAGING / "helm" / "redisproxy")


def test_helm_finds_no_fault_and_makes_the_same(chart: Chart) -> None:
    folder, kubernetes = str(PACKAGING / "helm" / "redisproxy"), ("--kube-version", "1.27.0")
    monitored = {"serviceMonitor": {**chart.values["serviceMonitor"], "enabled": True}}
    run("helm", "lint", "--strict", folder)
    told = run("helm", "template", "cache", folder, *kubernetes, "--set", "serviceMonitor.enabled=true")
    made = [each for each in yaml.safe_load_all(told) if each]
    assert {f"{each['kind']}/{each['metadata']['name']}": each for each in made} == chart.documents(**monitored)


def test_the_chart_makes_what_a_service_of_two_proxies_needs(chart: Chart) -> None:
    made = chart.documents(serviceMonitor={**chart.values["serviceMonitor"], "enabled": True})
    assert set(made) == {
        "ConfigMap/cache", "Deployment/cache", "Service/cache", "Service/cache-admin", "PodDisruptionBudget/cache",
        "ServiceMonitor/cache", "NetworkPolicy/cache",
    }  # fmt: skip
    deployment = made["Deployment/cache"]["spec"]
    pod, (container,) = deployment["template"]["spec"], deployment["template"]["spec"]["containers"]
    assert deployment["replicas"] == 2 and deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert (
        container["securityContext"]["readOnlyRootFilesystem"] is True
        and pod["securityContext"]["runAsNonRoot"] is True
    )
    assert container["image"] == f"redisproxy:{config_version()}"
    labels = deployment["template"]["metadata"]["labels"]
    for name in ("Service/cache", "Service/cache-admin"):
        assert made[name]["spec"]["selector"].items() <= labels.items()
    for name in ("PodDisruptionBudget/cache", "NetworkPolicy/cache"):
        spec = made[name]["spec"]
        assert (spec.get("selector") or spec["podSelector"])["matchLabels"].items() <= labels.items()


def config_version() -> str:
    return str(yaml.safe_load((PACKAGING / "helm" / "redisproxy" / "Chart.yaml").read_text())["appVersion"])


def test_a_pod_has_time_for_everything_that_it_waits_for(chart: Chart, tmp_path: Path) -> None:
    made = chart.documents()
    path = tmp_path / "config.json"
    path.write_text(made["ConfigMap/cache"]["data"]["config.json"])
    settings = config.load(str(path), tls.faults)
    assert str(settings.listen[0].address) == ":6379" and settings.admin is not None and settings.shutdown.leaving_ms
    pod = made["Deployment/cache"]["spec"]["template"]["spec"]
    shutdown_s = (settings.shutdown.leaving_ms + settings.shutdown.drain_deadline_ms) / 1000
    assert pod["terminationGracePeriodSeconds"] >= chart.values["preStopSeconds"] + shutdown_s + 10
    assert pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"] == [
        "sleep",
        str(chart.values["preStopSeconds"]),
    ]


def test_nobody_but_whom_the_values_name_reaches_the_admin_pages(chart: Chart) -> None:
    selector = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    for admin in ([], [selector]):
        policy = chart.documents(networkPolicy={"enabled": True, "clients": [], "admin": admin})["NetworkPolicy/cache"]
        rules = {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}
        assert rules == {"redis": None, **({"admin": admin} if admin else {})}


def test_pods_find_each_other_as_one_fleet(chart: Chart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = chart.documents(fleet={"enabled": True})
    monkeypatch.setenv("FLEET_SECRET", "of sixteen letters")
    path = tmp_path / "config.json"
    path.write_text(made["ConfigMap/cache"]["data"]["config.json"])
    fleet = config.load(str(path), tls.faults).fleet
    assert fleet is not None and fleet.peers == ("cache-peers:7012",) and str(fleet.listen.address) == ":7012"
    assert made["Service/cache-peers"]["spec"]["clusterIP"] == "None"
    ports = made["Deployment/cache"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert {"name": "fleet", "containerPort": 7012} in ports
    rule = made["NetworkPolicy/cache"]["spec"]["ingress"][1]
    assert rule["ports"] == [{"port": "fleet"}]
    labels = made["Deployment/cache"]["spec"]["template"]["metadata"]["labels"]
    assert rule["from"][0]["podSelector"]["matchLabels"].items() <= labels.items()


def test_what_the_values_add_is_in_the_pod(chart: Chart) -> None:
    more: dict[str, Any] = {
        "envFrom": [{"secretRef": {"name": "redis"}}],
        "extraVolumes": [{"name": "tls", "secret": {"secretName": "tls"}}],
        "extraVolumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "listen": {"tls": True, "certfile": "/tls/tls.crt", "keyfile": "/tls/tls.key"},
        "podAnnotations": {"a": "b"},
        "nodeSelector": {"disk": "none"},
        "tolerations": [{"operator": "Exists"}],
        "imagePullSecrets": [{"name": "pull"}],
    }
    made = chart.documents(**more)
    pod = made["Deployment/cache"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["envFrom"] == more["envFrom"] and more["extraVolumes"][0] in pod["volumes"]
    assert json.loads(made["ConfigMap/cache"]["data"]["config.json"])["listen"] == {"addr": ":6379", **more["listen"]}
    assert pod["nodeSelector"] and pod["tolerations"] and pod["imagePullSecrets"]
    plain = chart.documents()["Deployment/cache"]["spec"]["template"]["metadata"]["annotations"]
    assert (
        made["Deployment/cache"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        != plain["checksum/config"]
    )
