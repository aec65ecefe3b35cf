"""The benchmark's parts: what it plans, reads, computes and writes. Nothing here runs a load."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bench import results
from bench.cells import (
    BIG_BYTES,
    GRID,
    KEY_PLAIN,
    KEY_TLS,
    P99,
    Cell,
    Plan,
    full_plan,
    quick_plan,
    requests_for,
    small_get,
)
from bench.errors import BenchError
from bench.fairness import BESIDE, Waits, all_waits
from bench.flood import BIG_KEY, FLOODS
from bench.idle import Idle
from bench.instructions import total
from bench.load import parse
from bench.peers import PEERS
from bench.report import markdown, table
from bench.results import Results, Sample, medians, waited
from bench.targets import IDLE_LIMIT_BYTES, TARGETS, TLS_WORKERS, WAIT_LIMITS, WORKER_LIMITS, outcomes
from bench.unmeasured import Spent, cpu_us
from bench.wire import encode
from bench.workers import NUMBERS, Cost, Shares, costs
from tests.end_to_end.harness import RedisServer

CSV = """WARNING: Could not fetch server CONFIG
"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
"GET","71428.57","0.385","0.096","0.359","0.599","0.783","1.231"
"""


def sample(peer: str, cell: Cell, cpu_s: float | None, *, requests: int = 1000, connecting: bool = False) -> Sample:
    """One run of a cell whose rate and latencies do not matter."""
    return Sample(peer, cell, requests, 1000.0, 0.5, 1.5, cpu_s, connecting)


def test_a_result_is_read_from_the_csv_below_any_warning() -> None:
    load = parse(CSV)
    assert (load.rate_per_s, load.p50_ms, load.p99_ms) == (71428.57, 0.359, 0.783)


def test_a_run_too_short_to_have_a_rate_has_none() -> None:
    assert parse(CSV.replace("71428.57", "inf")).rate_per_s == 0.0


@pytest.mark.parametrize("output", ["", "Error: connection refused\n", CSV.replace("71428.57", "?"), '"test","rps"\n'])
def test_output_without_a_result_is_an_error(output: str) -> None:
    with pytest.raises(BenchError, match="no result"):
        parse(output)


def test_the_median_of_the_rounds_counts() -> None:
    cell = small_get(50)
    found = medians([sample("haproxy", cell, cpu_s) for cpu_s in (0.010, 0.500, 0.012)])["haproxy", cell]
    assert (found.runs, found.rate_per_s, found.p50_ms, found.p99_ms) == (3, 1000.0, 0.5, 1.5)
    assert found.cpu_us == pytest.approx(12.0)


def test_what_connecting_costs_is_taken_off() -> None:
    cell = small_get(500)
    runs = [
        sample("haproxy", small_get(500), 0.1, requests=500, connecting=True),
        sample("haproxy", cell, 0.3, requests=10_500),
    ]
    assert medians(runs)["haproxy", cell].cpu_us == pytest.approx(0.2 / 10_000 * 1e6)


def test_what_connecting_costs_one_peer_is_not_taken_off_another() -> None:
    cell = small_get(500)
    runs = [
        sample("haproxy", cell, 0.1, requests=500, connecting=True),
        sample("twemproxy", cell, 0.3, requests=10_000),
    ]
    assert medians(runs)["twemproxy", cell].cpu_us == pytest.approx(30.0)


def test_redis_without_a_proxy_has_no_cpu_figure() -> None:
    cell = small_get(1)
    assert medians([sample("direct", cell, None)])["direct", cell].cpu_us is None


def test_a_ratio_at_its_limit_is_reached_and_one_above_it_is_not() -> None:
    cell = small_get(50)
    exactly = [sample("redisproxy", cell, 0.016), sample("twemproxy", cell, 0.016), sample("haproxy", cell, 0.016)]
    found = {each.label: each for each in outcomes(medians(exactly), [])}
    assert found["CPU per command / twemproxy, 50 clients, P=1"].reached is True
    above = found["CPU per command / haproxy, 50 clients, P=1"]
    assert (above.measured, above.reached) == (1.0, False)


def test_figures_are_compared_with_the_same_proxy_that_takes_none() -> None:
    spent = [Spent(measured, 1000, cost) for measured, cost in ((True, 0.0102), (True, 0.0104), (False, 0.01))]
    figures = cpu_us(spent)
    (found,) = [each for each in outcomes({}, [], figures=figures) if "figures" in each.label]
    assert found.measured == pytest.approx(1.03) and found.reached is False
    (found,) = [each for each in outcomes({}, [], figures={**figures, True: 10.1}) if "figures" in each.label]
    assert found.reached is True and cpu_us([]) == {}


def test_bytes_per_cpu_second_must_be_at_least_its_limit() -> None:
    cell = KEY_PLAIN[-1]
    slow = [sample("redisproxy", cell, 0.2), sample("haproxy", cell, 0.1)]
    (found,) = (each for each in outcomes(medians(slow), []) if each.label.endswith(str(cell)))
    assert found.measured == pytest.approx(0.5)
    assert found.reached is False


def test_what_was_not_measured_is_neither_reached_nor_missed() -> None:
    assert {(each.measured, each.reached) for each in outcomes({}, [])} == {(None, None)}


@pytest.mark.parametrize(("more", "reached"), [(0, True), (1, False)])
def test_memory_of_an_idle_client_has_an_absolute_limit(more: int, reached: bool) -> None:
    idle = [Idle("haproxy", 9900, 3400.0, 1), Idle("redisproxy", 10_000, float(IDLE_LIMIT_BYTES + more), 1)]
    assert outcomes({}, idle)[-1].reached is reached


@pytest.mark.parametrize("plan", [quick_plan(), full_plan()])
def test_every_plan_measures_what_the_targets_need(plan: Plan) -> None:
    plain = {cell for stage in plan.stages for cell in stage.plain}
    tls = {cell for stage in plan.stages for cell in stage.tls}
    for target in TARGETS:
        assert target.cell in (tls if target.ours.endswith("-tls") else plain)


def test_the_full_plan_covers_the_grid_once() -> None:
    plain = [cell for stage in full_plan().stages for cell in stage.plain]
    tls = [cell for stage in full_plan().stages for cell in stage.tls]
    assert len(plain) == len(set(plain)) and len(tls) == len(set(tls))
    assert set(GRID) <= set(plain) and set(GRID) == set(tls) and set(KEY_TLS) <= set(tls)


@pytest.mark.parametrize("cell", GRID)
@pytest.mark.parametrize("rate", [0.1, 12_345.6])
def test_requests_are_whole_pipelines_of_every_client(cell: Cell, rate: float) -> None:
    count = requests_for(cell, rate, 0.35)
    assert count > 0 and count % (cell.clients * cell.pipeline) == 0


def test_handshakes_do_not_outweigh_commands() -> None:
    assert requests_for(small_get(500), 1.0, 0.35, tls=True) >= 50 * 500


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    sampled, idle, waits = (
        [sample("haproxy", small_get(50), 0.1)],
        [Idle("haproxy", 5, 1.5, 7)],
        [Waits("a", "b", 1, 2, 3)],
    )
    shares, spent = [Shares(2, True, 5, (0.2, 0.1))], [Spent(True, 5, 0.1)]
    before = Results({"cores": "2"}, sampled, idle, waits, shares, spent, ["x"], 3.0)
    before.save(tmp_path / "raw.json")
    assert results.load(tmp_path / "raw.json") == before


def test_the_page_shows_figures_and_dashes_for_what_is_missing() -> None:
    cell = small_get(50)
    page = markdown(
        Results(samples=[sample("haproxy", cell, 0.016), sample("direct", cell, None)], failures=["it broke"])
    )
    assert "| 50 clients, P=1 | haproxy | 1,000 | 16.00 | 0.50 | 1.50 | 1 |" in page
    assert "| 50 clients, P=1 | direct | 1,000 | - | 0.50 | 1.50 | 1 |" in page
    assert "| 50 clients, P=1 | redisproxy | - | - | - | - | - |" in page
    assert "not measured" in page and "- it broke" in page


def test_what_connecting_costs_is_taken_off_each_process_before_the_busiest_is_looked_for() -> None:
    """The control process deals a hundred clients to two workers, and then has nothing to do with their commands."""
    runs = [
        Shares(2, True, 100, (0.2, 0.05, 0.05), connecting=True),
        Shares(2, True, 1100, (0.2, 0.054, 0.055)),
    ]
    found = costs(runs)[True, 2]
    assert found.runs == 1 and found.cpu_us == pytest.approx(9) and found.busiest_us == pytest.approx(5)


def test_workers_are_compared_with_one_process() -> None:
    found = {(False, 1): Cost(1, 8.0, 8.0), (False, 2): Cost(1, 8.4, 4.2), (False, 4): Cost(1, 9.6, 3.0)}
    tls = {(True, 1): Cost(1, 18.0, 18.0), (True, TLS_WORKERS): Cost(1, 18.0, 10.0)}
    of_workers = [each for each in outcomes({}, [], None, found | tls) if "worker" in each.label]
    assert [each.reached for each in of_workers] == [True, False, True]
    assert [round(each.measured or 0, 2) for each in of_workers] == [1.05, 1.2, 1.8]
    assert {number for number, _ in WORKER_LIMITS} | {1, TLS_WORKERS} <= set(NUMBERS)


@pytest.mark.parametrize(("p99", "reached"), [(9.9, True), (10.1, False)])
def test_p99_is_compared_with_the_best_peer_of_the_run(p99: float, reached: bool) -> None:
    figures = {"direct": 12.0, "haproxy": 30.0, "twemproxy": 10.0, "redisproxy": p99}
    runs = [replace(sample(peer, P99, None), p99_ms=each) for peer, each in figures.items()]
    (found,) = (each for each in outcomes(medians(runs), []) if "best peer" in each.label)
    assert found.reached is reached


def test_first_commands_are_too_few_to_be_the_99th_percentile() -> None:
    assert requests_for(P99, 1.0, 0.1) > 100 * P99.clients


def test_a_table_has_text_to_the_left_and_numbers_to_the_right() -> None:
    assert table(("", "x"), [("a", "1")]) == "|  | x |\n| --- | ---: |\n| a | 1 |\n"


def test_a_command_is_an_array_of_bulk_strings() -> None:
    assert encode(b"GET", b"k") == b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"


def test_a_long_wait_counts_as_often_as_one_would_have_asked_meanwhile() -> None:
    assert all_waits([0.5, 7.0, 1.0], 2.0) == [0.5, 1.0, 3.0, 5.0, 7.0]


def test_the_median_of_the_waits_counts_and_the_longest_of_all_is_kept() -> None:
    runs = [Waits("direct", "read", p99, longest, 1.0) for p99, longest in ((1.0, 2.0), (9.0, 90.0), (3.0, 4.0))]
    assert waited(runs) == {("direct", "read"): Waits("direct", "read", 3.0, 90.0, 1.0)}


def test_a_wait_is_compared_with_the_same_one_without_a_proxy() -> None:
    both = (("direct", 10.0), ("redisproxy", 16.0), ("haproxy", 1.0))
    runs = [Waits(peer, "read", p99, 20.0, p99) for peer, p99 in both]
    found = [each for each in outcomes({}, [], waited(runs)) if each.label.endswith(BESIDE["read"])]
    assert [(each.measured, each.reached) for each in found] == [(1.6, True), (1.6, False)]
    assert f"| {BESIDE['read']} | redisproxy | 16 | 16 | 20 |" in markdown(Results(waits=runs))


def test_every_flood_has_words_and_a_limit_and_its_replies_fit_into_memory() -> None:
    assert BESIDE.keys() == FLOODS.keys() == {beside for beside, _, _ in WAIT_LIMITS}
    assert all(flood.clients * flood.reply_bytes < 500_000_000 for flood in FLOODS.values())


@pytest.mark.parametrize("plan", [quick_plan(), full_plan()])
def test_every_plan_measures_the_waits_that_have_limits(plan: Plan) -> None:
    assert {"direct", "redisproxy"} <= set(plan.beside.peers) <= set(PEERS) and plan.beside.rounds > 0


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_asks_for_what_it_counts_on(name: str) -> None:
    """The replies to one burst are as long as the flood expects, which asks again after that many bytes."""
    flood = FLOODS[name]
    with RedisServer() as server, socket.create_connection(("127.0.0.1", server.port), 10) as client:
        server.client().set(BIG_KEY.decode(), "x" * BIG_BYTES)
        client.sendall(flood.burst + encode(b"ECHO", b"end"))
        expected = flood.reply_bytes + len(b"$3\r\nend\r\n")
        got = bytearray()
        while len(got) < expected and (chunk := client.recv(1 << 20)):
            got += chunk
        assert len(got) == expected and got.endswith(b"$3\r\nend\r\n")


def test_what_callgrind_has_counted_is_read_and_nothing_is_not_taken_for_none() -> None:
    assert total("version: 1\nevents: Ir\nsummary: 4420627\n\nfn=(1) totals: 3\ntotals: 4420627\n") == 4420627
    with pytest.raises(BenchError):
        total("version: 1\nevents: Ir\n")
