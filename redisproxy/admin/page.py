"""The page for people: the state at a glance, and buttons for the commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any

_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>redisproxy: $state</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --running: #1a7f37; --pausing: #9a6700; --paused: #b35900 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.25rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .5rem }
header { display: flex; gap: 1rem; align-items: center; flex-wrap: wrap }
.state { color: #fff; padding: .15rem .8rem; border-radius: 1rem; font-weight: 600 }
.running { background: var(--running) } .pausing { background: var(--pausing) } .paused { background: var(--paused) }
.shutting { background: #57606a }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .75rem; margin: 1.5rem 0 }
.tile { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .9rem }
.tile b { display: block; font-size: 1.5rem; font-variant-numeric: tabular-nums } .tile span { opacity: .75; font-size: .85rem }
form { display: flex; gap: .5rem; flex-wrap: wrap }
button { font: inherit; padding: .4rem .9rem; border: 1px solid var(--line); border-radius: .4rem; cursor: pointer }
table { border-collapse: collapse; width: 100% } td { border-top: 1px solid var(--line); padding: .35rem .5rem; vertical-align: top }
td:first-child { opacity: .75; width: 14rem } code, pre { font-size: .85rem; overflow-wrap: anywhere; white-space: pre-wrap }
pre { background: var(--soft); padding: .75rem; border-radius: .5rem } .bad { color: #cf222e; font-weight: 600 }
.log td { width: auto } .log td:not(:last-child) { white-space: nowrap }
#advice { border: 1px solid; border-radius: .5rem; padding: .6rem .9rem } #advice:empty { display: none }
</style></head><body>
<header><h1>redisproxy</h1><span class="state $state" id="state" role="status">$state</span><span id="why">$why</span></header>
<p id="advice" class="bad" role="alert">$advice</p>
<div class="tiles">
<div class="tile"><b id="clients">$clients</b><span>clients</span></div>
<div class="tile"><b id="in_flight">$in_flight</b><span>in flight</span></div>
<div class="tile"><b id="held">$held</b><span>held</span></div>
<div class="tile"><b id="connections">$connections</b><span>uplink connections</span></div>
</div>
<form method="post" action="/cmd/" id="commands">
<button name="cmd" value="pause">Pause</button>
<button name="cmd" value="pause-and-wait">Pause and wait</button>
<button name="cmd" value="unpause">Unpause</button>
<button name="cmd" value="reload">Reload</button>
<button name="cmd" value="switchover" data-dry="1">Switchover, dry run</button>
<button name="cmd" value="switchover" data-ask="Move the data and all clients to the uplink of the configuration file?">Switchover</button>
<button name="cmd" value="switchover-abort">Abort switchover</button>
<button name="cmd" value="upgrade" data-ask="Have the program as it is on disk now take over?">Upgrade</button>
</form>
<p id="answer" role="status"></p>
<h2>Uplink</h2><table>$uplink</table>
$workers<h2>Switchovers</h2><p id="step">$step</p><table class="log">$switchovers</table>
<p>$way_back</p>
$differences<h2>Last reload</h2><table>$reload</table>
<h2>Last upgrade</h2><table>$upgrade</table>
<h2>Configuration</h2><pre>$config</pre>
<p><a href="/info.json">info.json</a> &middot; <a href="/metrics">metrics</a> &middot; version $version, up $uptime</p>
<script>
const get = id => document.getElementById(id);
async function refresh() {
  try {
    const info = await (await fetch("/info.json")).json();
    get("state").textContent = info.state; get("state").className = "state " + info.state;
    const end = info.shutdown, waits = end && end.waits_for_s ? ", for " + end.waits_for_s + " s at the most" : "";
    get("why").textContent = end ? "clients left: " + end.clients_left + waits : (info.paused_for || []).join(", ");
    get("clients").textContent = info.clients.open; get("in_flight").textContent = info.in_flight;
    const running = info.switchover.current;
    get("step").textContent = running ? running.from + " to " + running.to + ": " + running.step : "";
    get("advice").textContent = info.uplink.advice && "The uplink: " + info.uplink.advice;
    get("held").textContent = info.held; get("connections").textContent = info.uplink.connections;
  } catch (error) { get("why").textContent = "no answer from the proxy"; }
}
setInterval(refresh, 2000);
get("commands").addEventListener("submit", async event => {
  event.preventDefault();
  const button = event.submitter, body = new URLSearchParams({cmd: button.value});
  if (button.dataset.ask && !confirm(button.dataset.ask)) return;
  if (button.dataset.dry) body.set("dry_run", "1");
  get("answer").textContent = event.submitter.textContent + "\u2026";
  const answer = await (await fetch("/cmd/", {method: "POST", body})).json();
  get("answer").textContent = JSON.stringify(answer); get("answer").className = answer.ok ? "" : "bad"; refresh();
});
</script></body></html>
""")


def _rows(values: dict[str, Any]) -> str:
    if not values:
        return "<tr><td>none yet</td><td></td></tr>"
    return "".join(f"<tr><td>{escape(str(key))}</td><td>{_cell(value, key)}</td></tr>" for key, value in values.items())


def _cell(value: Any, key: str = "") -> str:
    if key == "at":
        return escape(_time(value))
    if isinstance(value, bool):
        return "yes" if value else '<span class="bad">no</span>'
    if isinstance(value, dict):
        return escape(", ".join(f"{key} {each}" for key, each in value.items()))
    if isinstance(value, list):
        return escape(", ".join(map(str, value)) or "none")
    return f"<code>{escape(str(value))}</code>" if value != "" else "none"


def _sentinel_rows(sentinel: dict[str, Any]) -> dict[str, Any]:
    rows = {key.replace("_", " "): value for key, value in sentinel.items() if key != "sentinels"}
    for each in sentinel.get("sentinels", []):
        state = "subscribed" if each.get("subscribed") else "not subscribed"
        said = f", says {each['primary']}" if each.get("primary") else ""
        error = f" ({each['error']})" if each.get("error") else ""
        rows[f"sentinel {each.get('address')}"] = state + said + error
    return rows


def _switchover_rows(reports: list[dict[str, Any]]) -> str:
    heads = ("when", "from", "to", "result", "pause", "held", "what")
    if not reports:
        return "<tr><td>none yet</td></tr>"
    rows = ["".join(f"<td>{head}</td>" for head in heads)]
    for report in reports:
        pause_ms = report.get("pause_ms")
        closed = ", ".join(f"{count} closed: {why}" for why, count in (report.get("clients_closed") or {}).items())
        what = "; ".join(
            filter(None, [report.get("reason"), str(report.get("error") or ""), closed, *report.get("warnings", [])])
        )
        cells = (
            _time(report.get("at")), report.get("from"), report.get("to"), str(report.get("result")).replace("_", " "),
            "" if pause_ms is None else f"{pause_ms} ms", report.get("held", ""), what,
        )  # fmt: skip
        rows.append("".join(f"<td>{escape(str(cell))}</td>" for cell in cells))
    return "".join(f"<tr>{row}</tr>" for row in rows)


def _way_back(switchover: dict[str, Any]) -> str:
    """Where one can go back to, and what a watch has seen."""
    way_back, watch = switchover.get("way_back") or {}, switchover.get("watch") or {}
    shown = ""
    if way_back:
        follows = "" if way_back["follows"] else f", which does not follow: {way_back['why_not']}"
        shown = f"The way back: {way_back['to']}{follows}."
    return f"{shown} The watch: {watch.get('verdict') or 'it goes on'}." if watch else shown


def _differences_table(reports: list[dict[str, Any]]) -> str:
    """What the data of the last switchover does not carry; nothing when there is nothing."""
    rows = reports[0].get("differences") if reports else None
    if not rows:
        return ""
    heads = ("kind", "name", "old", "new", "effect", "carried")
    lines = ["".join(f"<td>{head}</td>" for head in heads)]
    lines += ["".join(f"<td>{_cell(row.get(head, ''))}</td>" for head in heads) for row in rows]
    table = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<h2>What the data does not carry</h2><table class="log">{table}</table>\n'


def _workers_table(workers: list[dict[str, Any]]) -> str:
    """One row for each worker; nothing when there are none."""
    if not workers:
        return ""
    heads = ("number", "pid", "clients", "in_flight", "held", "commands", "connected", "restarts")
    rows = ["".join(f"<td>{head.replace('_', ' ')}</td>" for head in heads)]
    for worker in workers:
        late = "" if worker.get("answers") else '<td class="bad">does not answer</td>'
        rows.append("".join(f"<td>{_cell(worker.get(head, ''))}</td>" for head in heads) + late)
    return f'<h2>Workers</h2><table class="log">{"".join(f"<tr>{row}</tr>" for row in rows)}</table>'


def _time(at: Any) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def _duration(seconds: Any) -> str:
    total = int(seconds or 0)
    days, hours, minutes = total // 86400, total // 3600 % 24, total // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {total % 60} s"


def _uplink_rows(uplink: dict[str, Any]) -> dict[str, Any]:
    rows = {key: value for key, value in uplink.items() if key not in ("tls", "sentinel", "advice")}
    rows["TLS"] = "yes" if uplink.get("tls") else "no (plain)"
    return rows | _sentinel_rows(uplink.get("sentinel") or {})


def _last_upgrade(upgrade: dict[str, Any]) -> dict[str, Any]:
    """What came of the last one, and the step of one that runs."""
    last: dict[str, Any] = next(iter(upgrade.get("last") or []), {})
    return {"running": upgrade["step"], **last} if upgrade.get("step") else last


def _why(info: dict[str, Any]) -> str:
    end = info.get("shutdown")
    if not end:
        return ", ".join(info.get("paused_for", []))
    waits = f", for {end['waits_for_s']} s at the most" if end["waits_for_s"] else ""
    return f"clients left: {end['clients_left']}{waits}"


def render_page(info: dict[str, Any]) -> bytes:
    """The page for the state in `info`; keys that are missing leave gaps, no more."""
    clients, uplink, switchover = (info.get(key, {}) for key in ("clients", "uplink", "switchover"))
    running = switchover.get("current") or {}
    values = {
        "state": info.get("state", "unknown"),
        "why": _why(info),
        "advice": f"The uplink: {uplink['advice']}" if uplink.get("advice") else "",
        "clients": clients.get("open", 0),
        **{name: info.get(name, 0) for name in ("in_flight", "held")},
        "connections": uplink.get("connections", 0),
        "step": f"{running['from']} to {running['to']}: {running['step']}" if running else "",
        "way_back": _way_back(switchover),
        "version": info.get("version", ""),
        "uptime": _duration(info.get("uptime_s")),
    }
    return _PAGE.substitute(
        {key: escape(str(value)) for key, value in values.items()},
        workers=_workers_table(info.get("workers") or []),
        uplink=_rows(_uplink_rows(uplink)),
        switchovers=_switchover_rows(switchover.get("last") or []),
        differences=_differences_table(switchover.get("last") or []),
        reload=_rows(info.get("last_reload") or {}),
        upgrade=_rows(_last_upgrade(info.get("upgrade") or {})),
        config=escape(json.dumps(info.get("config", {}), indent=2, default=str)),
    ).encode()
