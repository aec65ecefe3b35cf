"""Renders the Helm chart, as far as it goes: just those parts of Helm's templates that the chart uses.

Whatever is not known here fails, so that nothing passes unseen. Where Helm is installed, a test compares the two.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+')

Scope = dict[str, Any]


class Chart:
    """The chart in a folder."""

    def __init__(self, folder: Path) -> None:
        meta = yaml.safe_load((folder / "Chart.yaml").read_text())
        self.values = yaml.safe_load((folder / "values.yaml").read_text())
        self._folder = folder
        self._root: Scope = {
            "Chart": {key[0].upper() + key[1:]: value for key, value in meta.items()},
            "Release": {"Name": "cache", "Namespace": "shop", "Service": "Helm"},
        }
        self._defined: dict[str, list[Any]] = {}
        self._nodes((folder / "templates" / "_helpers.tpl").read_text())

    def documents(self, **changes: Any) -> dict[str, Any]:
        """Every object, by its kind and name. @param changes: to the values, at their top level."""
        self._root["Values"] = {**self.values, **changes}
        found = {}
        for path in sorted((self._folder / "templates").glob("*.yaml")):
            for document in yaml.safe_load_all(self._text(self._nodes(path.read_text()), self._root, {})):
                if document is not None:
                    found[f"{document['kind']}/{document['metadata']['name']}"] = document
        return found

    # -- reading

    def _nodes(self, text: str) -> list[Any]:
        return self._block(self._pieces(text))[0]

    def _pieces(self, text: str) -> Iterator[str | tuple[str]]:
        """Text, and tags as tuples; blanks go where a tag says so."""
        at, strip = 0, False
        for tag in re.finditer(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", text, re.DOTALL):
            before = text[at : tag.start()]
            before = before.lstrip() if strip else before
            yield before.rstrip() if tag[1] else before
            yield (tag[2],)
            at, strip = tag.end(), bool(tag[3])
        yield text[at:].lstrip() if strip else text[at:]

    def _block(self, pieces: Iterator[str | tuple[str]]) -> tuple[list[Any], str]:
        nodes: list[Any] = []
        for piece in pieces:
            if isinstance(piece, str):
                nodes.append(piece)
                continue
            word, _, rest = piece[0].partition(" ")
            if word == "end":
                break
            if word in ("if", "with", "define"):
                inner = self._block(pieces)[0]
                if word == "define":
                    self._defined[rest.strip('"')] = inner
                else:
                    nodes.append((word, rest, inner))
            else:
                nodes.append(("put", piece[0], None))
        return nodes, ""

    # -- writing

    def _text(self, nodes: list[Any], dot: Any, variables: Scope) -> str:
        return "".join(
            each if isinstance(each, str) else self._tag(each[0], each[1], each[2], dot, variables) for each in nodes
        )

    def _tag(self, word: str, text: str, inner: Any, dot: Any, variables: Scope) -> str:
        assigned = re.match(r"(\$\w+) :?= (.*)", text, re.DOTALL)
        if assigned:
            variables[assigned[1]] = self._value(assigned[2], dot, variables)
            return ""
        value = self._value(text, dot, variables)
        if word == "put":
            return str(value)
        return self._text(inner, value if word == "with" else dot, variables) if value else ""

    def _value(self, text: str, dot: Any, variables: Scope) -> Any:
        return self._pipeline(_TOKEN.findall(text), dot, variables)

    def _pipeline(self, tokens: list[str], dot: Any, variables: Scope) -> Any:
        piped: list[Any] = []
        while True:
            arguments: list[Any] = []
            while tokens and tokens[0] not in ("|", ")"):
                arguments.append(self._operand(tokens, dot, variables))
            call, *rest = arguments
            piped = [call(*rest, *piped) if callable(call) else call]
            if not tokens or tokens.pop(0) == ")":
                return piped[0]

    def _operand(self, tokens: list[str], dot: Any, variables: Scope) -> Any:
        token = tokens.pop(0)
        if token == "(":
            return self._pipeline(tokens, dot, variables)
        if token.startswith('"'):
            return json.loads(token)
        if token in ("true", "false") or token.isdigit():
            return json.loads(token)
        if token.startswith("$"):
            return variables[token]
        if token.startswith("."):
            for part in filter(None, token.split(".")):
                dot = dot[part]
            return dot
        return self._function(token, dot)

    def _function(self, name: str, dot: Any) -> Callable[..., Any]:
        functions: dict[str, Callable[..., Any]] = {
            "include": lambda part, scope: self._text(self._defined[part], scope, {}).strip("\n"),
            "nindent": lambda count, text: "".join(f"\n{' ' * count}{line}" for line in text.split("\n")),
            "toYaml": lambda value: yaml.safe_dump(value, sort_keys=False).rstrip("\n"),
            "fromYaml": yaml.safe_load,
            "toPrettyJson": lambda value: json.dumps(value, indent=2, sort_keys=True),
            "quote": lambda value: json.dumps(str(value)),
            "default": lambda other, value: value or other,
            "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
            "printf": lambda form, *values: form.replace("%v", "%s") % values,
            "dict": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
            "merge": lambda into, *others: {**{key: value for each in others for key, value in each.items()}, **into},
        }
        return functions[name]
