"""The nginx configuration and the systemd unit of docs/operations.md, as they stand there, with the real programs."""

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.app.fakes import write_clip
from tests.app.test_main import run

gradio_client = pytest.importorskip("gradio_client")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),  # gradio 6.31 on pandas 3
]
OPERATIONS = (Path(__file__).parents[2] / "docs/operations.md").read_text()
SURROUNDINGS = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {locations}
    }}
}}
"""


def blocks(language: str) -> list[str]:
    """The document's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", OPERATIONS, re.DOTALL | re.MULTILINE)


@contextmanager
def studio(home: Path, *more: str) -> Iterator[tuple[str, str]]:
    """The app for a proxy: its port, and the password of the first account."""
    options = ("--sign-in", "--allow-anonymous-visitors", "--trusted-proxies", "127.0.0.1")
    app = run(home, *options, *more)
    assert app.stdout is not None
    lines = []
    for line in app.stdout:
        lines.append(line)
        if "serving http" in line:
            break
    try:
        (password,) = re.findall(r"shown only now: (\S+)", "".join(lines))
        (port,) = re.findall(r"serving http://127\.0\.0\.1:(\d+)", lines[-1])
        yield port, password
    finally:
        app.terminate()
        app.communicate(timeout=300)


@dataclass
class Site:
    """One studio behind nginx."""

    address: str
    """The host's."""
    base_path: str
    password: str
    """Of the first account."""

    @property
    def url(self) -> str:
        return self.address + self.base_path


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Site]]:
    """Two studios behind nginx on one host: at the root, and below the documented base path."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if nginx is None:
        pytest.skip("needs nginx: apt-get install nginx-light")
    folder = tmp_path_factory.mktemp("nginx")
    with (
        studio(folder / "root") as (root_port, root_password),
        studio(folder / "below", "--base-path", "/tempo") as (below_port, below_password),
    ):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        locations = "".join(blocks("nginx")).replace("127.0.0.1:7860", f"127.0.0.1:{root_port}")
        locations = locations.replace("127.0.0.1:7861", f"127.0.0.1:{below_port}")
        (folder / "nginx.conf").write_text(
            SURROUNDINGS.format(folder=folder, port=port, locations=locations.replace("\n", "\n        "))
        )
        proxy = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"])
        address = f"http://127.0.0.1:{port}"
        try:
            while True:
                assert proxy.poll() is None, (folder / "error.log").read_text()
                try:
                    httpx.get(f"{address}/health/live", timeout=300).raise_for_status()
                    break
                except httpx.ConnectError:
                    time.sleep(0.05)
            yield [Site(address, "", root_password), Site(address, "/tempo", below_password)]
        finally:
            proxy.terminate()
            proxy.wait(300)


@pytest.fixture(params=[0, 1], ids=["at the root", "below a base path"])
def site(sites: list[Site], request: pytest.FixtureRequest) -> Site:
    return sites[request.param]


def test_a_clip_is_uploaded_and_asked_about_through_the_proxy(site: Site, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    while httpx.get(f"{site.url}/status", timeout=300).json()["state"] == "loading":
        time.sleep(0.2)
    client = gradio_client.Client(
        f"{site.url}/", verbose=False, analytics_enabled=False, httpx_kwargs={"timeout": 300}
    )
    answer = client.predict(
        video=gradio_client.handle_file(clip), query="a red circle appears", api_name="/ground"
    )
    assert answer["clip"]["title"] == "clip.mp4"
    assert answer["model_id"].startswith("tempo-tiny")
    assert answer["clip"]["url"].startswith(f"{site.base_path}/media/")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this machine")
def test_people_sign_in_through_the_proxy_and_nobody_guesses_from_another_address(site: Site) -> None:
    with httpx.Client(base_url=site.url, timeout=300) as browser:
        origin = {"Origin": site.address}
        form = {"name": "local", "password": site.password}
        reply = browser.post("/sign-in", data=form, headers=origin)
        assert (reply.status_code, reply.headers["location"]) == (303, f"{site.base_path}/")
        assert browser.get("/account", headers={"Accept": "application/json"}).json()["name"] == "local"
    # What a visitor writes into the header is not what the proxy says: the guesses count for one address, which has to
    # wait long before the 30 that count for a name from anywhere. The visitor's address is none of a trusted proxy.
    elsewhere = httpx.HTTPTransport(local_address="127.0.0.2")
    with httpx.Client(base_url=site.url, timeout=300, transport=elsewhere) as guesser:
        for number in range(25):
            headers = {"Origin": site.address, "X-Forwarded-For": f"203.0.113.{number}"}
            form = {"name": "local", "password": f"guess {number}"}
            status = guesser.post("/sign-in", data=form, headers=headers).status_code
            if status == 429:
                break
            assert status == 401
    assert status == 429


def test_two_studios_of_one_host_do_not_share_a_session(sites: list[Site]) -> None:
    with httpx.Client(timeout=300) as browser:
        for signed_in in sites:
            form = {"name": "local", "password": signed_in.password}
            browser.post(f"{signed_in.url}/sign-in", data=form, headers={"Origin": signed_in.address})
            names = [browser.get(f"{site.url}/account").json()["name"] for site in sites]
            assert names == ["local" if site is signed_in else "Visitor" for site in sites]
            browser.post(f"{signed_in.url}/sign-out", headers={"Origin": signed_in.address})
        reply = browser.get(f"{sites[1].url}?a=b")
        assert reply.headers["location"] == f"{sites[1].url}/?a=b", "nginx adds the slash"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    checker = shutil.which("systemd-analyze")
    if checker is None:
        pytest.skip("needs systemd-analyze")
    unit = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", blocks("ini")[0], flags=re.MULTILINE)
    path = tmp_path / "tempo-studio.service"
    path.write_text(unit)
    result = subprocess.run([checker, "verify", str(path)], capture_output=True, text=True, timeout=300)
    complaints = [line for line in result.stderr.splitlines() if path.name in line]
    assert (result.returncode, complaints) == (0, []), result.stderr
