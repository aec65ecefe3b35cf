"""Every way of installing registers the plugin, with and without the compiled module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_twin

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = sysconfig.get_paths()["purelib"]


def make_venv(folder: Path) -> Path:
    """Make a virtual environment that sees the packages of this one, but not the project."""
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


def build(what: str, source: Path, folder: Path, **environment: str) -> Path:
    """Build an sdist or a wheel of `source`."""
    command = [sys.executable, "-m", "build", f"--{what}", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, env={**os.environ, **environment}, capture_output=True, timeout=300)
    return next(folder.iterdir())


def compiled_in_place() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (ROOT / "redisproxy" / "_native").glob("*.so")}


def has_compiler() -> bool:
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    return shutil.which("gcc") is not None and header.exists() and Path("/usr/include/stdio.h").exists()


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the sdist's sources."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "source", filter="data")
    before = compiled_in_place()
    built = build("wheel", next((folder / "source").iterdir()), folder / "dist")
    assert compiled_in_place() == before
    return built


def test_an_sdist_carries_the_sources(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    assert any(name.endswith("_native/core.pyx") for name in names)
    assert not any(name.endswith((".so", ".c", "dropin.cache")) for name in names)


@pytest.mark.skipif(not has_compiler(), reason="needs a C compiler and Python's headers")
def test_a_wheel_carries_the_compiled_module(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "py3-none-any" not in wheel.name
    assert any(name.startswith("redisproxy/_native/core.") and name.endswith(".so") for name in names)
    assert "twisted/plugins/redisproxy_plugin.py" in names
    assert not any(name.endswith((".pyx", ".pxi", ".c", "dropin.cache", "twisted/__init__.py")) for name in names)


def test_a_failing_compiler_leaves_a_wheel_without_the_module(tmp_path: Path) -> None:
    before = compiled_in_place()
    built = build("wheel", ROOT, tmp_path / "dist", CC="false", LDSHARED="false")
    assert "py3-none-any" in built.name
    assert compiled_in_place() == before


@pytest.mark.parametrize("pure", [False, True], ids=["compiled", "pure"])
def test_the_built_wheel_registers_the_plugin(tmp_path: Path, pure: bool, request: pytest.FixtureRequest) -> None:
    if pure:
        built = build("wheel", ROOT, tmp_path / "dist", REDISPROXY_NO_NATIVE="1")
    else:
        built = request.getfixturevalue("wheel")
    assert ("py3-none-any" in built.name) == (pure or not has_compiler())
    python = make_venv(tmp_path / "venv")
    install(python, str(built))
    shown = plugin_of(python, tmp_path)
    assert "['redisproxy.tap']" in shown and str(tmp_path / "venv") in shown
    twistd = [str(python), "-c", "from twisted.scripts.twistd import run; run()"]
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False, "timeout": 60}
    assert "redisproxy " in subprocess.run([*twistd, "--help"], **options).stdout  # type: ignore[call-overload]
    done = subprocess.run([*twistd, "-n", "redisproxy"], **options)  # type: ignore[call-overload]
    assert done.returncode != 0 and "a configuration file is needed" in done.stdout + done.stderr


def test_an_editable_install_registers_the_plugin(tmp_path: Path) -> None:
    python = make_venv(tmp_path / "venv")
    install(python, "-e", str(ROOT), REDISPROXY_NO_NATIVE="1")
    shown = plugin_of(python, tmp_path)
    assert "['redisproxy.tap']" in shown and str(ROOT) in shown


def test_the_plugin_folder_is_no_package() -> None:
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()
