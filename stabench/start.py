"""`python start.py MODULE ...` runs a module of this copy of stabench, wherever it lies.

Workers are started so. The folder above is not put on the path of imports: it holds a checkout's
rooms or a whole site-packages, and a system may have a `metrics` or a `systems` of its own.
"""

import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    place = Path(__file__).resolve().with_name("__init__.py")
    # Python puts a script's folder first, but for PYTHONSAFEPATH, which a wrapper may drop.
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != place.parent]
    spec = spec_from_file_location("stabench", place)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["stabench"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
