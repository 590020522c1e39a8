"""The engine, the images and the running system: made once for the package, gone at its end."""

import pytest

from lakehouse.settings import StackSettings
from stack.install import install
from stack.paths import Cache
from stack.progress import silent
from tests.compose import images
from tests.compose.engine import engine as engine_to_test_on
from tests.compose.system import new_system
from tests.compose.toolchain import plugins

_BUILD_SECONDS = 3600


@pytest.fixture(scope="package")
def cache():
    """The servers of the native stack, which the stand-ins run."""
    found = Cache(root=StackSettings().cache_dir)
    install(found, silent(), ("servers", "kafka", "minio", "prometheus"))
    return found


@pytest.fixture(scope="package")
def engine(cache):
    with engine_to_test_on(lambda: plugins(cache.root)) as found:
        try:
            images.build(found, cache)
            yield found
        finally:
            found.remove_images()


@pytest.fixture(scope="package")
def system(engine):
    """Built by our Dockerfiles, up and healthy."""
    with new_system(engine) as found:
        found.compose("--profile", "*", "build", timeout=_BUILD_SECONDS)
        try:
            found.up()
            yield found
        except BaseException:
            print(found.logs())  # noqa: T201 - why it did not come up
            raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the containers had to say."""
    report = yield
    if report.failed and call.when == "call" and "system" in item.funcargs:
        report.sections.append(("containers", item.funcargs["system"].logs()))
    return report
