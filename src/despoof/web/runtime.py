"""ONNX Runtime Web from its npm package: one version, known by its hash, fetched by npm or given as a file."""

import base64
import hashlib
import importlib.metadata
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from despoof.errors import ArtefactError, ConfigError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
LICENCES = (
    "LICENSE",
    "ThirdPartyNotices.txt",
)  # the npm package carries none; the Python package is the same project's
SECONDS = 300  # for 33 MB
REMEDY = f"Run `npm pack {PACKAGE}` where npm works, and give its file: --runtime-from {TARBALL}"


def runtime_files(tarball: Path | None = None) -> dict[str, bytes]:
    """Return script, WebAssembly and licences by name, from the tarball of npm at a path or fetched by npm.

    Raises ConfigError where npm is missing or fails, ArtefactError for a tarball that is not the pinned one.
    """
    data = _fetched() if tarball is None else _read(tarball)
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != INTEGRITY:
        raise ArtefactError(f"{tarball or TARBALL} has {found}; expected {INTEGRITY}. {REMEDY}")
    with tarfile.open(fileobj=io.BytesIO(data)) as package:
        files = {name: package.extractfile(f"package/dist/{name}").read() for name in (SCRIPT, WASM)}
    return files | _licences()


def _read(tarball: Path) -> bytes:
    try:
        return Path(tarball).read_bytes()
    except OSError as error:
        raise ArtefactError(f"{tarball} cannot be read ({error}). {REMEDY}") from None


def _fetched() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigError(f"npm is not installed, and ONNX Runtime Web comes from its registry. {REMEDY}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run(
                [npm, "pack", PACKAGE, "--silent", "--prefer-offline", "--pack-destination", folder],
                check=True, capture_output=True, text=True, timeout=SECONDS, cwd=folder,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise ConfigError(f"npm could not fetch {PACKAGE} ({error.stderr.strip()[-300:]}). {REMEDY}") from None
        except subprocess.TimeoutExpired:
            raise ConfigError(f"npm did not fetch {PACKAGE} within {SECONDS} s. {REMEDY}") from None
        return _read(Path(folder) / TARBALL)


def _licences() -> dict[str, bytes]:
    listed = importlib.metadata.files("onnxruntime") or []
    found = {path.name: path.read_binary() for path in listed if path.name in LICENCES}
    if missing := set(LICENCES) - set(found):
        raise ArtefactError(f"the installed onnxruntime lacks {', '.join(sorted(missing))}. Install it again with pip.")
    return found
