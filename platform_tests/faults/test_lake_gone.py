"""A lake that goes away, fills up or changes behind our back."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command_line import Shop, change, new_shop

from assay.lake import open_store
from assay.lake.server import EmbeddedS3, find_free_port


def test_s3_gone_in_mid_run_is_said_and_the_next_run_completes(tmp_path: Path, landing: Path) -> None:
    server = EmbeddedS3(tmp_path / "s3", find_free_port())
    connection = server.start()
    settings = {
        "AWS_ENDPOINT_URL": connection.endpoint,
        "AWS_ACCESS_KEY_ID": connection.access_key,
        "AWS_SECRET_ACCESS_KEY": connection.secret_key,
        "AWS_REGION": connection.region,
    }
    store = open_store(
        "s3://shop/lake",
        endpoint=connection.endpoint,
        region=connection.region,
        access_key=connection.access_key,
        secret_key=connection.secret_key,
        create_bucket=True,
    )
    for file in landing.rglob("*.json"):
        store.put(f"landing/{file.relative_to(landing).as_posix()}", file)
    shop = Shop(tmp_path / "home", "s3://shop/lake", settings)
    process = shop.start("run")
    # As soon as something is published, S3 goes.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not any(True for _ in store.list("raw/")):
        time.sleep(0.02)
    server.stop()
    out, error = process.communicate(timeout=180)
    assert process.returncode == 1
    assert f"error: The object store at {connection.endpoint} does not answer" in error
    assert "AWS_ENDPOINT_URL" in error
    assert "Traceback" not in error + out
    server.start()
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    assert all(books["balanced"] for books in report["books"].values())
    assert report["books"]["raw.orders"]["received"] == 9000
    assert shop.report("verify")["partitions"]["failed"] == 0
    server.stop()


def test_a_replaced_landing_file_is_said_and_not_used(shop: Shop, tmp_path: Path) -> None:
    before = shop.report()
    landed = tmp_path / "lake" / "landing" / "orders" / "orders-00.json"
    landed.write_text(change("orders", 99999, order_id="o1", customer_id="c1", amount="1.00", ordered_at="2025-01-01"))
    (tmp_path / "lake" / "landing" / "orders" / "orders-01.json").unlink()
    after = shop.report()
    assert any("orders-00.json was replaced" in warning for warning in after["warnings"])
    assert any("orders-01.json was deleted" in warning for warning in after["warnings"])
    assert after["books"] == before["books"]
    assert after["partitions"]["rebuilt"] == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_said_and_nothing_is_half_published(tmp_path: Path, landing: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("this machine does not let tests mount a small disk")
    try:
        shop = new_shop(tmp_path, landing)
        # The Dagster instance is elsewhere: it is the staging disk that is full.
        full = Shop(small, shop.lake, {"DAGSTER_HOME": str(tmp_path / "instance")})
        done = full.run("run")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "error:" in done.stderr
        assert "ASSAY_HOME" in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    assert shop.report("verify")["partitions"]["failed"] == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ASSAY_LAKE": "here"}, "ASSAY_LAKE"),
        ({"ASSAY_LAKE": "s3:///nowhere"}, "ASSAY_LAKE"),
        ({"ASSAY_DOMAIN": "nonsense"}, "ASSAY_DOMAIN"),
        ({"ASSAY_DOMAIN": "../shop"}, "ASSAY_DOMAIN"),
        ({"ASSAY_LAK": "file:///elsewhere"}, "ASSAY_LAKE"),
        ({"ASSAY_MEMORY": "lots"}, "ASSAY_MEMORY"),
        ({"ASSAY_LAKE": "s3://somewhere/lake", "AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
        ({"ASSAY_LAKE": "", "ASSAY_S3_PORT": str(find_free_port()), "AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
        ({"ASSAY_LAKE": "s3://somewhere/lake", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "AWS_ACCESS_KEY_ID"),
    ],
)
def test_bad_settings_are_one_sentence_that_says_what_to_set(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    shop = Shop(tmp_path / "home", (tmp_path / "lake").as_uri(), settings | {"AWS_EC2_METADATA_DISABLED": "true"})
    done = shop.run("tables")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_bucket_and_a_wrong_key_say_what_to_set(tmp_path: Path) -> None:
    with EmbeddedS3(tmp_path / "s3", find_free_port()) as connection:
        right = {
            "AWS_ENDPOINT_URL": connection.endpoint,
            "AWS_ACCESS_KEY_ID": connection.access_key,
            "AWS_SECRET_ACCESS_KEY": connection.secret_key,
            "AWS_REGION": connection.region,
        }
        missing = Shop(tmp_path / "home", "s3://no-such-bucket/lake", right).run("run")
        wrong = Shop(tmp_path / "home", "s3://no-such-bucket/lake", right | {"AWS_SECRET_ACCESS_KEY": "wrong"}).run("run")
    assert missing.returncode == wrong.returncode == 1
    assert "no-such-bucket" in missing.stderr
    assert "AWS_SECRET_ACCESS_KEY" in wrong.stderr
    assert "Traceback" not in missing.stderr + wrong.stderr


def test_an_interrupted_run_stops_at_once(shop: Shop, tmp_path: Path) -> None:
    process = shop.start("run")
    # Most of the run is before it when the first raw rows are there.
    while process.poll() is None and not any((tmp_path / "lake" / "raw").rglob("*.parquet")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    report = shop.report()
    assert report["partitions"]["failed"] == 0
    assert report["books"]["raw.orders"]["received"] == 9000
    assert all(books["balanced"] for books in report["books"].values())
