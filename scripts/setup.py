"""Prepares a machine: a virtual environment, the pinned packages, a browser for the tests.

Uses only the standard library, installs only what is missing, and turns every failure into one clear line.
Run by the Makefile: `python scripts/setup.py runtime|dev [browser] [axe]`. A stamp inside the environment holds the
hash of the requirement files, so that a run with nothing to do ends within a fraction of a second.
"""

import base64
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "runtime": ("requirements.txt", "constraints.txt", "requirements.lock"),
    "dev": (
        *("requirements-dev.txt", "requirements.txt", "constraints.txt"),
        *("requirements.lock", "requirements-dev.lock"),
    ),
}
"""What each kind stands on: first the requirements; the locks hold the hashes of everything but torch."""
NEEDED_BYTES = 4 * 2**30
CPU_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
OFFLINE_SIGNS = (
    "Failed to establish a new connection",
    "NameResolutionError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "Read timed out",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DISABLED_FEATURES = (
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup", "WebUIOmniboxFullPopup"),
    # Chromium heeds only the last list, so what Playwright disables stands here again.
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "PaintHolding"),
    *("ThirdPartyStoragePartitioning", "AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints"),
    *("NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch"),
)
"""The pages that Chromium draws for its address bar in every new window cost as much as Chromium's start."""
CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    f"--disable-features={','.join(DISABLED_FEATURES)}",
)
"""How tests, screenshots and benchmarks start Chromium."""

AXE_VERSION = "4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
"""axe-core looks for barriers in the tests' browser; as the npm registry has it (MPL-2.0), never shipped."""
AXE_PACKAGE = f"https://registry.npmjs.org/axe-core/-/axe-core-{AXE_VERSION}.tgz"


class SetupError(Exception):
    """Something cannot be had; the message is the one line that a person reads."""


def say(line: str) -> None:
    print(f"tempo: {line}", flush=True)


def venv_python(root: Path) -> Path:
    return root / ".venv" / "bin" / "python"


def fingerprint(root: Path, kind: str) -> str:
    """The hash of the requirement files that `kind` stands on, and of the Python that runs."""
    digest = hashlib.sha256(platform.python_version().encode())
    for name in FILES[kind]:
        digest.update((root / name).read_bytes())
    return digest.hexdigest()


def is_ready(root: Path, kind: str) -> bool:
    """Whether the environment holds `kind`; everything that `dev` holds serves `runtime` too."""
    kinds = ("runtime", "dev") if kind == "runtime" else ("dev",)
    return venv_python(root).exists() and any(
        (stamp := root / ".venv" / f".tempo-{name}").exists() and stamp.read_text() == fingerprint(root, name)
        for name in kinds
    )


def ensure_venv(root: Path) -> None:
    """Makes `.venv` with the running Python; a broken one, or one of another version, is made anew."""
    version = f"Python {platform.python_version()}"
    if venv_python(root).exists():
        pip = subprocess.run([venv_python(root), "-c", "import pip"], capture_output=True)
        named = subprocess.run([venv_python(root), "--version"], capture_output=True, text=True)
        if pip.returncode == 0 and named.stdout.strip() == version:
            return
    say(f"making .venv with {version}")
    command = [sys.executable, "-m", "venv", "--clear", str(root / ".venv")]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise SetupError(explain_pip(process.stdout + process.stderr))


def check_space(root: Path) -> None:
    """Raises SetupError when the disk cannot hold the packages (2.4 GB without CUDA)."""
    free = shutil.disk_usage(root).free
    if free < NEEDED_BYTES:
        raise SetupError(
            f"{root} has {free / 2**30:.1f} GB free and the packages need {NEEDED_BYTES / 2**30:.0f} GB. "
            "Free some space and run this again."
        )


def explain_pip(output: str) -> str:
    """One line that says why pip failed, from what it wrote to stderr."""
    if "No space left on device" in output:
        return "the disk is full. Free about 4 GB (TMPDIR may point to another disk) and run this again."
    if any(sign in output for sign in OFFLINE_SIGNS):
        return "the package registry cannot be reached. Check the network or pip's proxy, and run this again."
    if "DO NOT MATCH THE HASHES" in output:
        package = re.search(
            r"^\s+(\S+==\S+|\S+://\S+)", output.partition("DO NOT MATCH THE HASHES")[2], re.MULTILINE
        )
        named = f" ({package[1]})" if package else ""
        return (
            f"a package{named} is not the file that was tested: its hash differs from the lock's, and nothing of it "
            "was installed. Check the package index and pip's cache (`pip cache purge`), and run this again."
        )
    errors = [
        line.removeprefix("ERROR: ").strip() for line in output.splitlines() if line.startswith("ERROR:")
    ]
    last = (errors or output.strip().splitlines() or ["it ended without a word"])[-1]
    where = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"pip could not install the packages on {where}: {last}"


def has_nvidia() -> bool:
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def torch_index() -> list[str]:
    """pip's arguments for the CPU build of torch, where the registry's own would bring CUDA in vain."""
    if platform.system() != "Linux" or has_nvidia():
        return []
    try:
        with urllib.request.urlopen(f"{CPU_TORCH_INDEX}/torch/", timeout=5):
            return ["--extra-index-url", CPU_TORCH_INDEX]
    except OSError:
        return []


def pip_install(root: Path, kind: str) -> None:
    """Installs `kind`'s requirements; pip's own progress is shown, its errors become one SetupError.

    First what the locks name, each file by its hash and none that would have to be built. What then is missing of the
    requirements is torch with what its build brings along.
    """
    bar = "on" if sys.stdout.isatty() else "off"
    command = [str(venv_python(root)), "-m", "pip", "install", "--disable-pip-version-check", "--retries=3"]
    command += [f"--progress-bar={bar}", "--only-binary=:all:"]
    locks = [f"-r{root / name}" for name in FILES[kind] if name.endswith(".lock")]
    for arguments in (
        ["--require-hashes", "--no-deps", *locks],
        [*torch_index(), "-r", str(root / FILES[kind][0])],
    ):
        pip = subprocess.run([*command, *arguments], stderr=subprocess.PIPE, text=True, cwd=root)
        if pip.returncode:
            raise SetupError(explain_pip(pip.stderr))


def ensure_packages(root: Path, kind: str) -> None:
    """Brings `.venv` to the pinned requirements of `kind`, unless its stamp says that it is there."""
    if is_ready(root, kind):
        return
    started = time.monotonic()
    check_space(root)
    ensure_venv(root)
    say(f"installing the packages of {FILES[kind][0]} (2.4 GB on disk; minutes the first time)")
    pip_install(root, kind)
    (root / ".venv" / f".tempo-{kind}").write_text(fingerprint(root, kind))
    say(f"packages ready after {time.monotonic() - started:.0f} s")


def find_browser() -> str | None:
    """A Chromium's path: TEMPO_CHROMIUM, one on PATH, or Playwright's own; None when there is none."""
    named = os.environ.get("TEMPO_CHROMIUM")
    if named:
        return named
    for name in BROWSERS:
        if program := shutil.which(name):
            return program
    caches = (Path.home() / ".cache" / "ms-playwright", Path.home() / "Library" / "Caches" / "ms-playwright")
    patterns = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
    downloaded = [path for cache in caches for pattern in patterns for path in sorted(cache.glob(pattern))]
    return str(downloaded[-1]) if downloaded else None


def run_quietly(command: Iterable[str | Path]) -> bool:
    """Whether the command ended well; its output is not shown, its errors are."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run([*command], env=environment, stdout=subprocess.DEVNULL).returncode == 0


def apt_install(package: str) -> bool:
    """Installs a system package as root on Debian; False where that is not possible."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    say(f"installing {package} with apt-get")
    run_quietly(["apt-get", "update", "-q"])
    return run_quietly(["apt-get", "install", "-q", "-y", "--no-install-recommends", package])


def ensure_driver(root: Path) -> None:
    """Playwright brings a Node of its own, which needs a library that a bare Debian lacks."""
    command = [str(venv_python(root)), "-m", "playwright", "--version"]
    driver = subprocess.run(command, capture_output=True, text=True)
    if driver.returncode == 0:
        return
    if not ("libatomic" in driver.stderr and apt_install("libatomic1") and run_quietly(command)):
        lines = driver.stderr.strip().splitlines() or ["no reason given"]
        raise SetupError(
            f"Playwright does not start: {lines[0]} (Debian, Ubuntu: sudo apt install libatomic1)"
        )


def ensure_browser(root: Path) -> None:
    """Finds a Chromium or installs one: with apt-get as root on Debian, else by Playwright's download."""
    ensure_driver(root)
    if not find_browser() and not apt_install("chromium"):
        say("downloading Chromium with Playwright")
        run_quietly([venv_python(root), "-m", "playwright", "install", "chromium"])
    if not find_browser():
        raise SetupError(
            "no Chromium for the browser tests. Install one (Debian, Ubuntu: sudo apt install chromium), "
            "or name it: TEMPO_CHROMIUM=/path/to/chromium make test."
        )


def axe_path(root: Path = ROOT) -> Path:
    """Where axe-core lies once it was fetched."""
    return root / ".venv" / f"axe-core-{AXE_VERSION}" / "axe.min.js"


def fetch_axe() -> bytes:
    """The package from the npm registry: by npm where there is one, with its settings, else directly."""
    npm = shutil.which("npm")
    if npm is None:
        with urllib.request.urlopen(AXE_PACKAGE, timeout=30) as answer:
            fetched: bytes = answer.read()
            return fetched
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"axe-core@{AXE_VERSION}", "--silent", "--pack-destination", folder]
        packed = subprocess.run(command, capture_output=True, text=True, timeout=120)
        packages = list(Path(folder).glob("*.tgz"))
        if packed.returncode or not packages:
            lines = packed.stderr.strip().splitlines() or ["npm ended without a word"]
            raise OSError(lines[-1])
        return packages[0].read_bytes()


def ensure_axe(root: Path) -> None:
    """Fetches axe-core once; where it cannot be had, says so, and its tests are skipped."""
    target = axe_path(root)
    if target.exists():
        return
    try:
        package = fetch_axe()
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"axe-core cannot be fetched ({error}); the accessibility tests will be skipped")
        return
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != AXE_SHA512:
        raise SetupError(
            f"axe-core {AXE_VERSION} is not what was tested (its hash differs); it was not kept."
        )
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile("package/axe.min.js")
        script = member.read() if member is not None else b""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(script)


def main(arguments: list[str], root: Path = ROOT) -> int:
    try:
        for wish in arguments:
            if wish == "browser":
                ensure_browser(root)
            elif wish == "axe":
                ensure_axe(root)
            else:
                ensure_packages(root, wish)
    except SetupError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"{error.strerror or error}: {error.filename or root}. Check permissions and free disk space.")
        return 1
    except KeyboardInterrupt:
        say("stopped; run it again to go on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
