"""Commands that only look at the running proxy: C{status}, C{history}, C{metrics}, C{slowlog}, C{hot-keys}."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from redisproxy.cli.asking import AS_JSON, DONE, REFUSED, answer_of, ask_admin, json_of, page_of, show
from redisproxy.cli.terminal import duration, local_time, milliseconds, narrow, number, put, shown, table

SLOW = ("when", "total", "proxy", "redis", "command", "key", "client", "addr", "user")


@click.command()
@ask_admin
@click.option("--check", is_flag=True, help="Exit with 1 unless commands get through.")
@click.option("--json", "as_json", is_flag=True, help="All of it, as JSON.")
def status(path: str, cacert: str | None, check: bool, as_json: bool) -> None:
    """Show what the running proxy does.

    Exit code 0: it has answered. 1: with --check, it is paused, shuts down, or has no connection to its server.
    2: there was no answer.
    """
    info = json_of(path, "/info.json", cacert, "state", as_json)
    if as_json:
        click.echo(json.dumps(info, indent=2))
    else:
        figures = answer_of(path, "/figures.json", None, cacert, as_json)
        click.echo("\n".join(_lines(info, figures[1].get("now") if figures[0] == 200 else None)))
    good = info["state"] == "running" and info["uplink"]["connected"]
    sys.exit(DONE if good or not check else REFUSED)


def _lines(info: dict[str, Any], now: dict[str, Any] | None) -> Iterator[str]:
    uplink, clients = info["uplink"], info["clients"]
    reachable = "connected" if uplink["connected"] else f"not connected: {uplink['last_error'] or 'trying'}"
    waits = ", but commands wait for the server" if info["state"] == "running" and not uplink["connected"] else ""
    yield f"state:     {info['state']} {' '.join(info['paused_for'])}".rstrip() + waits
    yield f"clients:   {clients['open']:,} connected, {info['held']:,} held, {info['in_flight']:,} commands in flight"
    connections = f"{uplink['connections']} connection{'' if uplink['connections'] == 1 else 's'}"
    yield f"uplink:    {shown(uplink['address'])}, {shown(reachable)}, {connections}"
    if now:
        yield f"commands:  {number(now['commands_per_s'])} a second, {number(now['errors_per_s'])} errors"
    if now and now["client_p50_ms"] is not None:
        seen, server = (f"{milliseconds(now[f'{who}_p50_ms'])} / {milliseconds(now[f'{who}_p99_ms'])}" for who in _WHO)
        yield f"latency:   {seen} for clients, {server} of the server"
        yield "           (p50 / p99)"
    if uplink.get("advice"):
        yield f"advice:    {shown(uplink['advice'])}"
    current = (info.get("switchover") or {}).get("current")
    if current:
        yield f"move:      to {shown(current['to'])}: {current['step']}"
    way_back = (info.get("switchover") or {}).get("way_back")
    if way_back:
        why_not = f": {shown(way_back['why_not'])}" if way_back["why_not"] else ""
        follows = "" if way_back["follows"] else f", which does not follow{why_not}"
        yield f"way back:  {shown(way_back['to'])}{follows}"
    yield f"version:   {info['version']}, up {duration(info['uptime_s'])}"


_WHO = ("client", "uplink")


@click.command(short_help="Show the last switchovers, reloads and upgrades.")
@ask_admin
@AS_JSON
def history(path: str, cacert: str | None, as_json: bool) -> None:
    """Show the last moves: switchovers, failovers, the last reload, upgrades; the newest first.

    Exit code 0: done. 2: there was no answer.
    """
    events = events_of(json_of(path, "/info.json", cacert, "state", as_json))
    if as_json:
        click.echo(json.dumps(events, indent=2))
    elif not events:
        click.echo("nothing yet")
    else:
        heads = ("when", "what", "result", "pause", "held", "details")
        rows = [[local_time(each["at"]), *(each[head] for head in heads[1:])] for each in events]
        put(table(heads, rows, right=("pause", "held"), wrap=("details",)))


def events_of(info: dict[str, Any]) -> list[dict[str, Any]]:
    """What has happened, as plain rows; the newest first."""
    switchovers = info.get("switchover", {}).get("last", [])
    upgrades = info.get("upgrade", {}).get("last", [])
    reload = info.get("last_reload") or {}
    events = [*map(_switchover, switchovers), *map(_upgrade, upgrades), *([_reload(reload)] if reload else [])]
    events += _followed(info.get("uplink") or {})
    return sorted(events, key=lambda each: -(each["at"] or 0))


def _followed(uplink: dict[str, Any]) -> list[dict[str, Any]]:
    """The last change of the primary that somebody else has made."""
    change = (uplink.get("sentinel") or uplink.get("name") or {}).get("last_switch") or {}
    details = f"{change.get('from') or ''} -> {change.get('to')}".strip()
    return [_event(change, "new primary", "followed", details)] if change.get("at") else []


def _event(report: dict[str, Any], what: str, result: str, details: str) -> dict[str, Any]:
    pause_ms = report.get("pause_ms")
    idle = pause_ms is None or report.get("result") in ("dry_run", "refused")
    pause = "" if idle else milliseconds(pause_ms)
    held = "" if idle else report.get("held", "")
    return {"at": report.get("at"), "what": what, "result": result, "pause": pause, "held": held, "details": details}


def _switchover(report: dict[str, Any]) -> dict[str, Any]:
    details = [f"{report.get('from')} -> {report.get('to')}", report.get("reason"), report.get("error")]
    result = str(report.get("result")).replace("_", " ")
    text = "; ".join(_one_line(each) for each in details if each)
    return _event(report, str(report.get("kind") or "switchover"), result, text)


def _one_line(text: object) -> str:
    return str(text).replace("\n", "; ")


def _upgrade(report: dict[str, Any]) -> dict[str, Any]:
    details = f"{report.get('from')} -> {report.get('to')}" if report.get("ok") else _one_line(report.get("error"))
    return _event(report, "upgrade", "done" if report.get("ok") else "not done", details)


def _reload(report: dict[str, Any]) -> dict[str, Any]:
    details = ", ".join(report.get("changed") or ()) if report.get("ok") else _one_line(report.get("error"))
    what = str(report.get("for") or "reload")
    return _event(report, what, "done" if report.get("ok") else "rejected", details or "nothing changed")


@click.command(short_help="Show the metrics whose name contains a text.")
@ask_admin
@click.argument("name", default="")
@AS_JSON
def metrics(path: str, cacert: str | None, name: str, as_json: bool) -> None:
    """Show the metrics whose name contains NAME, or all.

    Exit code 0: done. 1: there is none of that name. 2: there was no answer.
    """
    from prometheus_client.parser import text_string_to_metric_families

    code, content = page_of(path, "/metrics", cacert, as_json)
    if code != 200:
        show(code, {"ok": False, "error": f"HTTP status {code}"}, as_json)
    families = list(text_string_to_metric_families(content.decode("utf-8", "replace")))
    samples = [sample for family in families for sample in family.samples if name in sample.name]
    if as_json:
        told = [{"name": each.name, "labels": each.labels, "value": each.value} for each in samples]
        click.echo(json.dumps(told, indent=2))
    for each in samples if not as_json else ():
        labels = ", ".join(f"{key}={value}" for key, value in each.labels.items())
        click.echo(shown(f"{each.name}{f'{{{labels}}}' if labels else ''} {each.value:.15g}"))
    if not samples:
        click.echo(f"no metric has {shown(name)!r} in its name: some are there only once they have counted", err=True)
    sys.exit(DONE if samples else REFUSED)


@click.command(short_help="Show the commands that took long.")
@ask_admin
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="No more than so many.")
@AS_JSON
def slowlog(path: str, cacert: str | None, limit: int, as_json: bool) -> None:
    """Show the commands that took long: whose, which key, how long in the proxy and at the server; the newest first.

    A narrow terminal gets fewer columns. Exit code 0: done. 1: the running proxy keeps no such log. 2: there was no
    answer.
    """
    entries = json_of(path, "/slowlog.json", cacert, "log of slow commands", as_json)["entries"][:limit]
    if as_json:
        click.echo(json.dumps({"entries": entries}, indent=2))
    elif not entries:
        click.echo("no slow command")
    else:
        heads = ("when", "total", "redis", "command", "key", "addr") if narrow() else SLOW
        rows = (dict(zip(SLOW, _slow(each), strict=True)) for each in entries)
        put(table(heads, [[row[head] for head in heads] for row in rows], right=SLOW[1:4], wrap=("key",)))


@click.command(name="hot-keys", short_help="Show the keys used most, and the largest replies.")
@ask_admin
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="No more than so many of each.")
@AS_JSON
def hot_keys(path: str, cacert: str | None, limit: int, as_json: bool) -> None:
    """Show the keys that are used most, and the largest replies, as sampling has found them.

    Exit code 0: done. 1: the running proxy does not sample. 2: there was no answer.
    """
    hot = json_of(path, "/hot_keys.json", cacert, "sample of keys", as_json)
    hot = {**hot, "keys": hot["keys"][:limit], "replies": hot["replies"][:limit]}
    if as_json:
        click.echo(json.dumps(hot, indent=2))
    elif not hot["sample"]:
        click.echo("nothing is sampled: set hot_keys.sample in the configuration file, and reload", err=True)
    else:
        _show_hot(hot)
    sys.exit(DONE if hot["sample"] else REFUSED)


def _show_hot(hot: dict[str, Any]) -> None:
    rate = f"{number(hot['commands_per_s'])} commands a second"
    click.echo(f"one of {hot['sample']} commands was looked at, {hot['sampled']} lately; about {rate}")
    if hot["keys"]:
        heads = ("share", "a second", "family", "key")
        rows = (
            (f"{each['share']:.1%}", number(each["commands_per_s"]), each["family"], each["key"])
            for each in hot["keys"]
        )
        put(table(heads, rows, right=heads[:2], wrap=("key",)))
    if hot["replies"]:
        heads = ("reply bytes", "command", "key", "when")
        replies = (
            (f"{each['bytes']:,}", each["command"], each["key"], local_time(each["time"])) for each in hot["replies"]
        )
        put(table(heads, replies, right=heads[:1], wrap=("key",)))


def _slow(entry: dict[str, Any]) -> list[str]:
    times = [milliseconds(entry[name]) for name in ("total_ms", "proxy_ms", "redis_ms")]
    who = [str(entry[name]) for name in ("command", "key", "client_id", "addr", "user")]
    return [local_time(entry["time"]), *times, *who]
