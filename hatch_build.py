"""Compiles redisproxy/_native when there is a C compiler, and goes on without it when there is none.

The proxy works without the compiled module, only slower; then the wheel is a pure one. REDISPROXY_NO_NATIVE=1 leaves
the compiler out of it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that hatchling calls for every wheel, editable ones too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what has to go into the wheel."""
        sources = sorted(Path(self.root, "redisproxy", "_native").glob("*.pyx"))
        if not sources or os.environ.get("REDISPROXY_NO_NATIVE"):
            return
        try:
            built = self._compile(sources)
        except (Exception, SystemExit) as error:
            self.app.display_warning(f"redisproxy goes without its compiled module: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in built:
            relative = str(Path(path).resolve().relative_to(Path(self.root).resolve()))
            build_data["force_include"][relative] = relative

    def _compile(self, sources: list[Path]) -> list[str]:
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext

        here = os.getcwd()
        os.chdir(self.root)
        try:
            with tempfile.TemporaryDirectory() as scratch:
                names = [f"redisproxy._native.{source.stem}" for source in sources]
                paths = [str(source.relative_to(self.root)) for source in sources]
                extensions = [
                    Extension(name, [path], extra_compile_args=["-O2"]) for name, path in zip(names, paths, strict=True)
                ]
                modules = cythonize(extensions, build_dir=scratch, language_level=3, quiet=True)
                command = build_ext(Distribution({"ext_modules": modules, "packages": ["redisproxy._native"]}))
                command.inplace = True
                command.build_temp = scratch
                command.ensure_finalized()
                command.run()
                return list(command.get_outputs())
        finally:
            os.chdir(here)


if __name__ == "__main__":
    sys.exit("this is a hook of hatchling; use pip install or python -m build")
