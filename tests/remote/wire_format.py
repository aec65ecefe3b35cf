"""The wire format of the orders: what a program of another release counts on.

C{python -m tests.remote.wire_format} records that of the version at hand in C{orders_of_version_N.json}. An unreleased
version may be recorded anew; one that was released never changes: a new one is made (C{remote/order.py}).
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import TypeAdapter
from twisted.protocols import amp

from redisproxy.client.session_value import ClientValue
from redisproxy.dataplane.shared_value import SharedValue
from redisproxy.fleet import orders as fleet_orders
from redisproxy.remote import order, orders, record_orders
from redisproxy.remote.argument_types import Typed
from redisproxy.remote.order import VERSION, Order
from redisproxy.upgrade import orders as upgrade_orders
from redisproxy.upgrade.inheritance import VARIABLE, Inheritance
from redisproxy.workers import orders as worker_orders

MODULES = (order, orders, record_orders, upgrade_orders, fleet_orders)
RECORD = Path(__file__).with_name(f"orders_of_version_{VERSION}.json")


def wire_format() -> dict[str, Any]:
    """Every order with its arguments, its answer, and how it fails; and the documents that some of them carry."""
    return {
        "orders": _orders(*MODULES),
        "orders to workers": _orders(worker_orders),
        "documents": {kind.__name__: _plain(kind.model_json_schema()) for kind in (ClientValue, SharedValue)},
        "environment": {VARIABLE: {field.name: field.type for field in fields(Inheritance)}},
    }


def _orders(*modules: ModuleType) -> dict[str, Any]:
    kinds = {kind.__name__: kind for module in modules for kind in vars(module).values() if _is_order(kind)}
    return {name: _order(kinds[name]) for name in sorted(kinds)}


def _is_order(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, amp.Command) and kind is not Order


def _order(kind: type[amp.Command]) -> dict[str, Any]:
    return {
        "name": kind.commandName.decode(),
        "takes": {name.decode(): _argument(argument) for name, argument in kind.arguments},
        "answers": {name.decode(): _argument(argument) for name, argument in kind.response},
        "can be cancelled": issubclass(kind, Order) and kind.can_be_cancelled,
    }


def _argument(argument: amp.Argument) -> Any:
    if isinstance(argument, Typed):
        return _plain(TypeAdapter(argument.kind).json_schema())
    return type(argument).__name__


def _plain(schema: Any) -> Any:
    """Without what is told to people."""
    if isinstance(schema, dict):
        told = {key for key in ("description", "title") if isinstance(schema.get(key), str)}
        return {key: _plain(value) for key, value in schema.items() if key not in told}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema


def text() -> str:
    """As it is recorded."""
    return json.dumps(wire_format(), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    RECORD.write_text(text())
