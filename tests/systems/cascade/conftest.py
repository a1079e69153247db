"""What the tests of cascades share: a clock that only remembers, and the checkpoint of a module."""

import contextlib

import pytest

from tests.systems.cascade.tiny_weights import golden


@pytest.fixture
def spans():
    """Times nothing but remembers the stages, in `spans.names`."""

    def span(name: str) -> contextlib.AbstractContextManager[None]:
        span.names.append(name)
        return contextlib.nullcontext()

    span.names = []
    return span


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    """Digests of tiny files are not for the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STABENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def made(request):
    """What the original made of the checkpoint that the module names: GOLDEN = "tango2"."""
    return golden(request.module.GOLDEN)


@pytest.fixture(scope="module")
def home(request, tmp_path_factory):
    """The checkpoint that the module names: TINY = tiny_tango2."""
    return request.module.TINY.write(tmp_path_factory.mktemp("weights"))
