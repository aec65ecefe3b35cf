"""Client libraries that ask for maintenance notifications: relaxed timeouts in a pause, leaving for another proxy."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import EndpointType, MaintNotificationsConfig

from tests.end_to_end.harness import Proxy, RedisServer, busy_script, wait_until
from tests.end_to_end.libraries.switching import ProcessWorker, ThreadWorker, assert_no_problem
from tests.end_to_end.libraries.test_node import needs_node, node

pytestmark = pytest.mark.one_twin

TIMEOUT_S = 0.5
PAUSE_S = 1.2
NOT_TOLD = MaintNotificationsConfig(enabled=False)


@contextlib.contextmanager
def paused(proxy: Proxy) -> Iterator[None]:
    """A pause that begins now, and ends while the body waits."""
    proxy.do("pause")
    ending = threading.Timer(PAUSE_S, proxy.do, ["unpause"])
    ending.start()
    try:
        yield
    finally:
        ending.join()


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return True
    return False


def counting(client: redis.Redis, expected: Iterator[int]) -> Iterator[None]:
    for number in expected:
        assert client.incr("n") == number
        time.sleep(0.002)
        yield


class TestRelaxedTimeouts:
    def test_a_command_in_a_pause_outlasts_its_timeout(self, proxy: Proxy) -> None:
        client = proxy.client(socket_timeout=TIMEOUT_S)
        assert client.incr("n") == 1
        for number in (2, 3):
            with paused(proxy):
                assert client.incr("n") == number
        assert proxy.info()["clients"]["total"] == 1, "it has connected again"
        with pytest.raises(redis.TimeoutError), paused(proxy):
            proxy.client(socket_timeout=TIMEOUT_S, maint_notifications_config=NOT_TOLD).incr("n")

    def test_the_timeout_is_as_before_when_the_pause_is_over(self, proxy: Proxy) -> None:
        client = proxy.client(socket_timeout=TIMEOUT_S)
        client.ping()
        with paused(proxy):
            client.ping()
        client.ping()
        with pytest.raises(redis.TimeoutError):
            client.blpop(["nothing"], timeout=PAUSE_S)

    @pytest.mark.parametrize("told", [True, False])
    def test_a_pause_that_begins_while_a_slow_command_runs(self, proxy: Proxy, told: bool) -> None:
        client = proxy.client(socket_timeout=TIMEOUT_S, **({} if told else {"maint_notifications_config": NOT_TOLD}))
        client.ping()
        pausing = threading.Timer(TIMEOUT_S / 3, proxy.do, ["pause"])
        pausing.start()
        with contextlib.nullcontext() if told else pytest.raises(redis.TimeoutError):
            assert client.eval(busy_script(PAUSE_S), 0) is not None
        pausing.join()

    def test_one_that_is_blocked_and_one_in_a_transaction(self, proxy: Proxy) -> None:
        client, other = (proxy.client(socket_timeout=TIMEOUT_S) for _ in range(2))
        with client.pipeline() as pipe:
            pipe.watch("w")
            pipe.multi()
            pipe.set("w", 1)
            with paused(proxy):
                assert pipe.execute() == [True]
        threading.Timer(2 * PAUSE_S, proxy.client().rpush, ["jobs", "x"]).start()
        threading.Timer(TIMEOUT_S / 3, proxy.do, ["pause"]).start()
        threading.Timer(2 * PAUSE_S - 0.1, proxy.do, ["unpause"]).start()
        popped = other.blpop(["jobs"], timeout=5)
        assert popped is not None and popped[1] == "x"

    def test_a_subscriber(self, server: RedisServer) -> None:
        with Proxy(server.uplink, pubsub=True) as proxy:
            pubsub = proxy.client().pubsub(ignore_subscribe_messages=True)
            pubsub.subscribe("c")
            assert pubsub.get_message(timeout=5) is None
            with paused(proxy):
                time.sleep(0.1)
                assert pubsub.get_message(timeout=0.1) is None
            proxy.client().publish("c", "m")
            got = None
            deadline = time.monotonic() + 5
            while got is None and time.monotonic() < deadline:
                got = pubsub.get_message(timeout=1)
            assert got is not None and got["data"] == "m"

    def test_asyncio(self, proxy: Proxy) -> None:
        async def main(told: bool) -> Any:
            more: dict[str, Any] = {} if told else {"maint_notifications_config": NOT_TOLD}
            retry = AsyncRetry(NoBackoff(), 0)
            async with redis.asyncio.Redis(port=proxy.port, socket_timeout=TIMEOUT_S, retry=retry, **more) as client:
                await client.ping()
                with paused(proxy):
                    return await client.incr("n")

        assert asyncio.run(main(told=True)) == 1
        with pytest.raises(redis.TimeoutError):
            asyncio.run(main(told=False))

    def test_redis_py_knows_the_beginning_and_the_end(self, proxy: Proxy) -> None:
        seen: list[str] = []
        client = proxy.client()
        client.ping()
        connection = client.connection_pool.get_connection()
        parser: Any = connection._get_parser()
        parser.set_maintenance_push_handler(lambda event: seen.append(type(event).__name__))
        client.connection_pool.release(connection)
        with paused(proxy):
            client.ping()
        wait_until(lambda: client.ping() and len(seen) > 1, "the end of the pause is told")
        assert seen == ["NodeMigratingNotification", "NodeMigratedNotification"]


class TestMoving:
    def test_clients_go_to_the_endpoint_and_lose_nothing(self, server: RedisServer) -> None:
        shutdown = {"notice_ms": 5000, "moving_to": "127.0.0.2:1"}
        with (
            Proxy(server.uplink, shutdown=shutdown) as old,
            Proxy(server.uplink, listen_more={"addr": f"127.0.0.2:{old.port}"}) as new,
        ):
            worker = ThreadWorker(counting(old.client(socket_timeout=5), iter(range(1, 1_000_000))))
            worker.start()
            wait_until(lambda: worker.done > 20, "it has begun")
            began = time.monotonic()
            assert old.stop() == 0
            assert time.monotonic() - began < 4, "it has waited although all had left"
            at = worker.done
            wait_until(lambda: worker.done > at + 50 or worker.problem, "it goes on")
            assert new.info()["clients"]["total"] >= 1
            worker.stop()
            assert_no_problem([worker])
            assert int(server.client().get("n") or 0) == worker.done
            assert "1 clients were told to leave, 0 have stayed" in old.log

    def test_asyncio(self, server: RedisServer) -> None:
        async def work(old: Proxy, tasks: int, each: int) -> None:
            retry = AsyncRetry(NoBackoff(), 0)
            async with redis.asyncio.Redis(port=old.port, socket_timeout=5, retry=retry) as client:

                async def steps() -> None:
                    for _ in range(each):
                        await client.incr("n")
                        await asyncio.sleep(0.005)

                working = asyncio.gather(*(steps() for _ in range(tasks)))
                await asyncio.sleep(0.3)
                old.process.send_signal(signal.SIGTERM)
                await working

        shutdown = {"notice_ms": 5000, "moving_to": "127.0.0.2:1"}
        with (
            Proxy(server.uplink, shutdown=shutdown) as old,
            Proxy(server.uplink, listen_more={"addr": f"127.0.0.2:{old.port}"}) as new,
        ):
            asyncio.run(work(old, 5, 200))
            assert server.client().get("n") == "1000"
            assert new.info()["clients"]["total"] >= 5
            assert old.process.wait(10) == 0
            assert "5 clients were told to leave, 0 have stayed" in old.log

    @pytest.mark.parametrize("endpoint_type", [None, EndpointType.NONE])
    def test_without_an_endpoint_they_connect_to_the_same_address(
        self, server: RedisServer, endpoint_type: EndpointType | None
    ) -> None:
        with Proxy(server.uplink, shutdown={"notice_ms": 6000}) as old:
            told = MaintNotificationsConfig(endpoint_type=endpoint_type)
            client = old.client(socket_timeout=5, maint_notifications_config=told)
            worker = ThreadWorker(counting(client, iter(range(1, 1_000_000))))
            worker.start()
            wait_until(lambda: worker.done > 20, "it has begun")
            old.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(old.port), "the old one listens no more")
            with Proxy(server.uplink, listen_more={"addr": f"127.0.0.1:{old.port}"}) as new:
                assert old.process.wait(10) == 0
                at = worker.done
                wait_until(lambda: worker.done > at + 50 or worker.problem, "it goes on")
                assert new.info()["clients"]["total"] >= 1
                worker.stop()
            assert_no_problem([worker])
            assert int(server.client().get("n") or 0) == worker.done


@needs_node
class TestNodeRedis:
    def run(self, *arguments: object) -> ProcessWorker:
        worker = node("maintenance.js", *arguments)
        worker.start()
        return worker

    def test_a_command_in_a_pause_outlasts_its_timeout(self, proxy: Proxy) -> None:
        workers = [self.run(proxy.port, mode) for mode in ("enabled", "disabled")]
        wait_until(lambda: all(worker.done > 5 for worker in workers), "both have begun")
        with paused(proxy):
            time.sleep(0.1)
        told, untold = workers
        at = told.done
        wait_until(lambda: told.done > at + 5 or told.problem, "it goes on")
        for worker in workers:
            worker.stop()
        assert told.problem == ""
        assert "Timeout" in untold.problem

    def test_it_goes_to_the_endpoint_and_loses_nothing(self, server: RedisServer) -> None:
        with Proxy(server.uplink) as new:
            with Proxy(server.uplink, shutdown={"notice_ms": 5000, "moving_to": f"127.0.0.1:{new.port}"}) as old:
                worker = self.run(old.port, "enabled")
                wait_until(lambda: worker.done > 5, "it has begun")
                assert old.stop() == 0
            at = worker.done
            wait_until(lambda: worker.done > at + 5 or worker.problem, "it goes on")
            worker.stop()
            assert worker.problem == ""
            assert int(server.client().get("n:enabled") or 0) == worker.result["counts"]["commands"]

    @pytest.mark.parametrize("endpoint_type", ["auto", "none"])
    def test_without_an_endpoint_it_survives(self, server: RedisServer, endpoint_type: str) -> None:
        """It is told nothing when it has asked for an address: an assertion of its own would end the process."""
        with Proxy(server.uplink, shutdown={"notice_ms": 3000}) as old:
            worker = self.run(old.port, "reconnecting", endpoint_type)
            wait_until(lambda: worker.done > 5, "it has begun")
            old.process.send_signal(signal.SIGTERM)
            wait_until(lambda: refuses(old.port), "the old one listens no more")
            with Proxy(server.uplink, listen_more={"addr": f"127.0.0.1:{old.port}"}):
                assert old.process.wait(10) == 0
                at = worker.done
                wait_until(lambda: worker.done > at + 5 or worker.problem, "it goes on")
                worker.stop()
        assert worker.problem == ""
