"""Everything together: started, answering, stopped by one Ctrl-C; and a port that is taken."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from command_line import Shop

from assay.lake.server import EmbeddedS3, find_free_port


def shop_in(folder: Path) -> Shop:
    return Shop(folder / "home", (folder / "lake").as_uri(), {"ASSAY_METRICS_PORT": str(free_port())})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_it_starts_answers_and_one_interrupt_stops_all(tmp_path: Path) -> None:
    port = free_port()
    shop = shop_in(tmp_path)
    command = [sys.executable, "-c", "from assay.cli import main; main()", "up", "--ui-port", str(port)]
    process = subprocess.Popen(command, env=shop.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ctrl-C"):
            break
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=10) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{shop.settings['ASSAY_METRICS_PORT']}/metrics", timeout=30) as answer:
        assert b"assay_lake_up 1.0" in answer.read()
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "stopped" in out
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_named_with_what_to_set(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = shop_in(tmp_path).run("up", "--ui-port", port)
    assert done.returncode == 1
    assert port in done.stderr
    assert "ASSAY_UI_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_given_to_two_is_named_with_what_to_set(tmp_path: Path) -> None:
    shop = shop_in(tmp_path)
    done = shop.run("up", "--ui-port", str(shop.settings["ASSAY_METRICS_PORT"]))
    assert done.returncode == 1
    assert f"Port {shop.settings['ASSAY_METRICS_PORT']} is taken" in done.stderr
    assert "ASSAY_UI_PORT" in done.stderr


def test_an_embedded_server_that_runs_already_is_named_where_it_is(tmp_path: Path) -> None:
    taken = free_port()
    with EmbeddedS3(tmp_path / "home" / "s3", find_free_port()) as running:
        shop = shop_in(tmp_path)
        embedded = Shop(shop.home, "", {**shop.settings, "ASSAY_METRICS_PORT": str(taken)})
        done = embedded.run("up", "--ui-port", str(taken), "--s3-port", str(find_free_port()))
    assert f"lake        s3://lake at {running.endpoint}\n" in done.stdout
