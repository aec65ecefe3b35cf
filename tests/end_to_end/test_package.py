"""Every way of installing registers the plugin, with and without the compiled module."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = sysconfig.get_paths()["purelib"]


def make_venv(folder: Path) -> Path:
    """A virtual environment of its own, which sees the packages that this one has, but not the project."""
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    (site / "shared.pth").write_text(SITE + "\n")
    return folder / "bin" / "python"


def install(python: Path, *what: str, **environment: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps"]
    command += ["--no-build-isolation", "--ignore-installed", *what]
    subprocess.run(command, check=True, env={**os.environ, **environment}, timeout=300)


def plugin_of(python: Path, folder: Path) -> str:
    code = (
        "from twisted.plugin import getPlugins\n"
        "from twisted.application.service import IServiceMaker\n"
        "import redisproxy\n"
        "print([p.module for p in getPlugins(IServiceMaker) if p.tapname == 'redisproxy'], redisproxy.__file__)\n"
    )
    done = subprocess.run([str(python), "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def wheel(folder: Path, **environment: str) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, env={**os.environ, **environment}, capture_output=True, timeout=300)
    return next(folder.glob("*.whl"))


@pytest.mark.parametrize("pure", [False, True], ids=["compiled", "pure"])
def test_the_built_wheel_registers_the_plugin(tmp_path: Path, pure: bool) -> None:
    built = wheel(tmp_path / "dist", **({"REDISPROXY_NO_NATIVE": "1"} if pure else {}))
    assert ("py3-none-any" in built.name) or not pure
    python = make_venv(tmp_path / "venv")
    install(python, str(built))
    shown = plugin_of(python, tmp_path)
    assert "['redisproxy.tap']" in shown and str(tmp_path / "venv") in shown
    done = subprocess.run(
        [str(python), "-c", "from twisted.scripts.twistd import run; run()", "-n", "redisproxy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0 and "a configuration file is needed" in done.stdout + done.stderr


def test_an_editable_install_registers_the_plugin(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    install(python, "-e", str(ROOT), REDISPROXY_NO_NATIVE="1")
    shown = plugin_of(python, tmp_path)
    assert "['redisproxy.tap']" in shown and str(ROOT) in shown


def test_the_plugin_folder_is_no_package() -> None:
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()
