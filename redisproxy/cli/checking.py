"""C{redisproxy check-config} and C{redisproxy schema}: about a configuration file; the proxy need not run."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from redisproxy import config
from redisproxy.cli.asking import AS_JSON, DONE, REFUSED, fail
from redisproxy.cli.terminal import shown
from redisproxy.config.files import secret_files, written_secrets
from redisproxy.config.json_file import read_object


def load(path: str, exit_code: int = REFUSED, as_json: bool = False) -> config.Settings:
    """The settings in the file at `path`. With faults the program ends, and tells all of them."""
    from redisproxy.net import tls

    try:
        return config.load(path, tls.faults)
    except config.ConfigError as error:
        fail(str(error), exit_code, as_json)


@click.command("check-config", short_help="Check a configuration, and show what it sets.")
@click.argument("file", required=False, type=click.Path())
@click.option("-c", "--config", "named", type=click.Path(), help="FILE, as the other commands have it.")
@click.option("--all", "everything", is_flag=True, help="Show the defaults that are in force, too.")
@click.option("--strict", is_flag=True, help="Exit with 1 when there are warnings.")
@AS_JSON
def check_config(file: str | None, named: str | None, everything: bool, strict: bool, as_json: bool) -> None:
    """Check FILE as the proxy would at its start; show what would be in force, and warn of what is unwise.

    Exit code 0: it is good. 1: it has faults, or with --strict warnings.
    """
    file = file or named
    if not file:
        raise click.UsageError("Missing argument 'FILE'.")
    if as_json:
        sys.exit(_as_json(file, everything, strict))
    settings = load(file)
    places = ", ".join(str(each.address) for each in settings.listen)
    click.echo(f"{file} is good: {places} -> {settings.uplink.address}")
    values = config.in_force(settings, everything)
    width = max(map(len, values))
    for key, value in values.items():
        click.echo(f"  {key.ljust(width)}  {shown(json.dumps(value, ensure_ascii=False))}")
    warnings = [*_open_files(file), *config.advice(settings)]
    for text in warnings:
        click.echo(f"warning: {shown(text)}", err=True)
    sys.exit(REFUSED if strict and warnings else DONE)


def _as_json(file: str, everything: bool, strict: bool) -> int:
    from redisproxy.net import tls

    try:
        settings = config.load(file, tls.faults)
    except config.ConfigError as error:
        click.echo(json.dumps({"ok": False, "faults": list(error.faults)}, indent=2))
        return REFUSED
    warnings = [*_open_files(file), *config.advice(settings)]
    answer = {"ok": True, "in_force": config.in_force(settings, everything), "warnings": warnings}
    click.echo(json.dumps(answer, indent=2))
    return REFUSED if strict and warnings else DONE


def _open_files(path: str) -> Iterator[str]:
    """Files with secrets that everybody on this machine may read."""
    data = read_object(Path(path), [])
    if any(written_secrets(data)) and _everybody_reads(path):
        yield f"{path}: it holds passwords and everybody on this machine may read it: chmod o-r"
    for where, name in secret_files(data, Path(path).resolve().parent):
        if _everybody_reads(name):
            yield f"{where}: everybody on this machine may read {name}: chmod o-r"


def _everybody_reads(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


@click.command(short_help="Print a JSON schema of the configuration, for editors.")
def schema() -> None:
    """Print a JSON schema of the configuration file, for editors.

    Save it beside the file, and begin the file with "$schema": "./redisproxy.schema.json".
    """
    click.echo(json.dumps(config.schema(), indent=2))
