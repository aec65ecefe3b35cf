"""Compiles redisproxy/_native where there is a C compiler, and builds a pure wheel where there is none.

The proxy works without the compiled module, only slower. REDISPROXY_NO_NATIVE=1 builds a pure wheel in any case. An
ordinary wheel leaves the source tree as it was; an editable install gets its module there.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "redisproxy/_native"


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """The hook that hatchling calls for every wheel, also for editable ones."""

    _scratch: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell hatchling what has to go into the wheel."""
        sources = sorted(Path(self.root, PACKAGE).glob("*.pyx"))
        if not sources or os.environ.get("REDISPROXY_NO_NATIVE"):
            return
        self._scratch = tempfile.mkdtemp(prefix="redisproxy-build-")
        editable = version == "editable"
        try:
            built = self._compile(sources, self._scratch)
        except (Exception, SystemExit) as error:
            self.app.display_warning(f"redisproxy goes without its compiled module: {error}")
            if editable:
                self._remove_stale(sources)
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for path in built:
            if editable:
                self._put_in_place(path)
            else:
                build_data["force_include"][str(path)] = f"{PACKAGE}/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what compiling has left, now that the wheel is written."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _compile(self, sources: list[Path], scratch: str) -> list[Path]:
        from Cython.Build import cythonize
        from setuptools import Distribution, Extension
        from setuptools.command.build_ext import build_ext

        here = os.getcwd()
        os.chdir(self.root)
        try:
            extensions = [
                Extension(
                    f"{PACKAGE.replace('/', '.')}.{source.stem}",
                    [str(source.relative_to(self.root))],
                    extra_compile_args=["-O2"],
                )
                for source in sources
            ]
            modules = cythonize(extensions, build_dir=scratch, language_level=3, quiet=True)
            command = build_ext(Distribution({"ext_modules": modules}))
            command.build_lib = os.path.join(scratch, "lib")
            command.build_temp = scratch
            command.ensure_finalized()
            command.run()
            return [Path(path).resolve() for path in command.get_outputs()]
        finally:
            os.chdir(here)

    def _put_in_place(self, path: Path) -> None:
        # Renamed, so that a process that starts at this moment finds the old or the new module, whole.
        target = Path(self.root, PACKAGE, path.name)
        fresh = target.with_name(f".{path.name}.new")
        shutil.copy2(path, fresh)
        os.replace(fresh, target)

    def _remove_stale(self, sources: list[Path]) -> None:
        # A module compiled from other sources would be imported, and need not agree with the Python beside it.
        for source in sources:
            for old in source.parent.glob(f"{source.stem}.*.so"):
                old.unlink()


if __name__ == "__main__":
    sys.exit("this is a hook of hatchling; use pip install or python -m build")
