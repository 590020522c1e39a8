"""Debian, made by debootstrap: what stands in for the images that cannot be pulled.

The trees are in the pipeline's cache as tar files. This machine's certificates and the
configuration of its packages' clients are put in when they are imported, and never kept.
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from lakehouse.environment import expand_home, process_environment
from lakehouse.errors import StopPipelineError
from stack.cache import ensure, remove_tree
from tests.compose.engine import Engine, install_packages

_RELEASE = "bookworm"
"""Its Python is 3.11."""
_PYTHON = ("ca-certificates", "python3", "python3-venv", "python3-pip", "tzdata")
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "debian": (),
    "python": _PYTHON,
    "programs": (*_PYTHON, "curl", "dumb-init", "procps", "wget"),
}
"""What stands in for Debian's own image, for Python's, and below all other stand-ins."""

_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CLIENT_VARIABLES = (
    "GOPROXY", "GOSUMDB", "GONOSUMDB", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL",
)  # fmt: skip
_CLIENT_FILES = {
    "etc/pip.conf": ("/etc/pip.conf", "~/.config/pip/pip.conf", "~/.pip/pip.conf"),
    "etc/uv/uv.toml": ("/etc/uv/uv.toml", "~/.config/uv/uv.toml"),
}


def import_base(engine: Engine, cache: Path, name: str) -> str:
    """The tag of one of the bases in `PACKAGES`."""
    tag = f"shop-test/{name}"
    engine.run("import", "--change", f"LABEL {engine.label}", _tree(cache, name), f"{tag}:bare")
    context = engine.folder / f"{name}-client"
    _copy_client_files(context / "files")
    (context / "Dockerfile").write_text("\n".join(_client_layer(f"{tag}:bare")))
    engine.build(context, tag)
    return tag


def _client_layer(bare: str) -> Iterator[str]:
    given = process_environment()
    yield f"FROM {bare}"
    yield "COPY files/ /"
    for variable in _CERTIFICATE_VARIABLES:
        yield f"ENV {variable}={_CERTIFICATES}"
    for variable in _CLIENT_VARIABLES:
        if variable in given:
            yield f"ENV {variable}={given[variable]}"


def _copy_client_files(folder: Path) -> None:
    certificates = folder / _CERTIFICATES.relative_to("/")
    certificates.parent.mkdir(parents=True)
    shutil.copyfile(_CERTIFICATES, certificates)
    for target, sources in _CLIENT_FILES.items():
        found = [path for source in sources if (path := expand_home(Path(source))).exists()]
        if found:
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(found[0], folder / target)


def _tree(cache: Path, name: str) -> Path:
    packages = PACKAGES[name]
    folder = cache / f"debian-{_RELEASE}-{name}-{'-'.join(packages) or 'bare'}"

    def make(work: Path, result: Path) -> None:
        install_packages()
        tree = work / "tree"
        remove_tree(tree)
        include = [f"--include={','.join(packages)}"] if packages else []
        _run("debootstrap", "--variant=minbase", *include, _RELEASE, tree, *_mirror())
        for left in ("var/cache/apt/archives", "var/lib/apt/lists"):
            shutil.rmtree(tree / left, ignore_errors=True)
        if packages:
            _make_python_like_its_image(tree)
        _run("tar", "--numeric-owner", "-C", tree, "-cf", result / "tree.tar", ".")

    ensure(folder, make)
    return folder / "tree.tar"


def _make_python_like_its_image(tree: Path) -> None:
    """`python` is a command, and pip may install beside it."""
    for marker in tree.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    for name, target in (("python", "python3"), ("python3", "python3"), ("pip", "pip3")):
        (tree / "usr/local/bin" / name).symlink_to(f"/usr/bin/{target}")


def _mirror() -> list[str]:
    """Where this machine has its Debian packages from, if it tells."""
    words = ("apt-get", "indextargets", "--format", "$(SITE)", f"Codename: {_RELEASE}")
    found = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    return found[:1]


def _run(*command: object) -> None:
    result = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, errors="replace", check=False
    )
    if result.returncode != 0:
        message = f"{command[0]} failed:\n{result.stdout[-3000:]}{result.stderr[-3000:]}"
        raise StopPipelineError(message)
