"""One suite for every object store: what a store promises does not depend on which one it is."""

from __future__ import annotations

import datetime as dt
import errno
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from assay.engine.connection import Limits, grant
from assay.engine.connection import connect as duckdb_connect
from assay.errors import Conflict, ObjectMissing, SettingsError, StoreError, StoreUnavailable
from assay.lake import ObjectStore, open_store
from assay.lake.server import Connection, find_free_port
from assay.lake.store import S3Access

AWKWARD_KEYS = [
    "day=2026-01-31/data.parquet",
    "with space/a b.csv",
    "plus+sign/a+b.csv",
    "percent%20/100%.csv",
    "ünïcode/名前.json",
    "quotes'and&ampersand/(1)[2]{3}.csv",
    "tilde~hash#at@colon:comma,semi;dollar$bang!/x.csv",
]


@pytest.fixture(params=["file", "s3"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each kind of store in turn."""
    found: ObjectStore = request.getfixturevalue(f"{request.param}_store")
    return found


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in store.list(prefix))


def outcomes(attempts: int, attempt: Callable[[int], object]) -> list[str]:
    """Run attempts at the same moment, each in a thread; say how each one ended."""
    gate = threading.Barrier(attempts)

    def run(number: int) -> str:
        gate.wait()
        try:
            attempt(number)
        except Conflict:
            return "lost"
        return "won"

    with ThreadPoolExecutor(attempts) as pool:
        return list(pool.map(run, range(attempts)))


class TestObjects:
    def test_what_was_put_is_read_back(self, store: ObjectStore) -> None:
        info = store.put("a/b.txt", b"hello")
        assert (info.key, info.size) == ("a/b.txt", 5)
        assert store.get("a/b.txt") == b"hello"

    @pytest.mark.parametrize(("last", "found"), [(1, b"o"), (5, b"hello"), (99, b"hello")])
    def test_the_end_of_an_object_is_read_alone(self, store: ObjectStore, last: int, found: bytes) -> None:
        store.put("a.txt", b"hello")
        assert store.get("a.txt", last=last) == found

    def test_put_head_and_list_agree_on_version_and_size(self, store: ObjectStore) -> None:
        written = store.put("a/b.txt", b"hello")
        headed = store.head("a/b.txt")
        [listed] = store.list("a/")
        assert (written.etag, written.size) == (headed.etag, headed.size) == (listed.etag, listed.size)
        assert '"' not in written.etag

    def test_modified_is_aware_utc_and_now(self, store: ObjectStore) -> None:
        now = dt.datetime.now(dt.UTC)
        for info in (store.put("a", b"1"), store.head("a"), *store.list("")):
            assert info.modified.utcoffset() == dt.timedelta(0)
            assert abs(info.modified - now) < dt.timedelta(seconds=5)

    def test_a_file_is_put_as_its_content(self, store: ObjectStore, tmp_path: Path) -> None:
        body = tmp_path / "body"
        body.write_bytes(os.urandom(9_000_000))
        info = store.put("big.bin", body)
        assert info.size == 9_000_000
        assert info.etag == store.head("big.bin").etag == next(store.list("big")).etag
        assert store.get("big.bin") == body.read_bytes()

    def test_empty_objects_are_objects(self, store: ObjectStore) -> None:
        store.put("marker", b"")
        assert store.get("marker") == b""
        assert keys(store) == ["marker"]

    def test_another_put_replaces_content_and_version(self, store: ObjectStore) -> None:
        first = store.put("a", b"one")
        second = store.put("a", b"two")
        assert store.get("a") == b"two"
        assert first.etag != second.etag == store.head("a").etag

    @pytest.mark.parametrize("key", ["nothing", "folder", "a.txt/below"])
    def test_what_is_not_there_is_missing(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        store.put("folder/a.txt", b"")
        store.put("a.txt", b"")
        for read in (store.head, store.get, lambda key: store.download(key, tmp_path / "target")):
            with pytest.raises(ObjectMissing, match=key):
                read(key)
        assert not (tmp_path / "target").exists()

    def test_delete_is_idempotent(self, store: ObjectStore) -> None:
        store.put("a/b", b"1")
        store.delete("a/b")
        store.delete("a/b")
        store.delete("never/there")
        assert keys(store) == []

    @pytest.mark.parametrize("key", AWKWARD_KEYS)
    def test_awkward_keys(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        info = store.put(key, b"x", if_absent=True)
        assert keys(store) == [key]
        assert keys(store, key) == [key]
        assert store.head(key).etag == info.etag
        store.download(key, tmp_path / "copy", info.etag)
        assert (tmp_path / "copy").read_bytes() == b"x"
        store.delete(key)
        assert keys(store) == []

    @pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", ".locks/x", "a/.b", "a\0"])
    def test_keys_that_leave_the_store_are_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(StoreError, match="not a key"):
            store.put(key, b"x")

    def test_no_reader_sees_half_an_object(self, store: ObjectStore) -> None:
        bodies = {bytes([letter]) * 300_000 for letter in b"abc"}
        store.put("a", b"a" * 300_000)
        done = threading.Event()

        def write() -> None:
            for _ in range(5):
                for body in bodies:
                    store.put("a", body)
            done.set()

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(write)
            while not done.is_set() and not writing.done():
                assert store.get("a") in bodies
            writing.result()


class TestListing:
    def test_a_prefix_is_a_string_not_a_folder(self, store: ObjectStore) -> None:
        for key in ("ab/1", "ab/2", "abc/1", "ab-c", "b", "ab.d/e/f"):
            store.put(key, b"")
        assert keys(store, "ab") == ["ab-c", "ab.d/e/f", "ab/1", "ab/2", "abc/1"]
        assert keys(store, "ab/") == ["ab/1", "ab/2"]
        assert keys(store, "ab/1") == ["ab/1"]
        assert keys(store, "ab.d/e") == ["ab.d/e/f"]
        assert keys(store, "nothing/here") == []
        assert keys(store, "") == ["ab-c", "ab.d/e/f", "ab/1", "ab/2", "abc/1", "b"]

    def test_more_objects_than_a_page(self, store: ObjectStore) -> None:
        wanted = [f"day={number % 7}/{number:05d}.json" for number in range(2_500)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b"1"), wanted))
        assert keys(store) == sorted(wanted)
        assert len(keys(store, "day=3/")) == len(range(3, 2_500, 7))

    def test_an_empty_store_lists_nothing(self, store: ObjectStore) -> None:
        assert keys(store) == []


class TestConditions:
    def test_if_absent(self, store: ObjectStore) -> None:
        store.put("a", b"one", if_absent=True)
        with pytest.raises(Conflict, match="a "):
            store.put("a", b"two", if_absent=True)
        assert store.get("a") == b"one"

    def test_if_absent_holds_again_after_a_delete(self, store: ObjectStore) -> None:
        store.put("a", b"one", if_absent=True)
        store.delete("a")
        store.put("a", b"two", if_absent=True)
        assert store.get("a") == b"two"

    def test_if_match(self, store: ObjectStore) -> None:
        first = store.put("a", b"one")
        second = store.put("a", b"two", if_match=first.etag)
        with pytest.raises(Conflict):
            store.put("a", b"three", if_match=first.etag)
        assert store.get("a") == b"two"
        store.put("a", b"four", if_match=second.etag)

    def test_if_match_of_what_is_not_there_loses(self, store: ObjectStore) -> None:
        etag = store.put("a", b"one").etag
        store.delete("a")
        with pytest.raises(Conflict):
            store.put("a", b"two", if_match=etag)
        assert keys(store) == []

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        ends = outcomes(8, lambda number: store.put("a", f"{number}".encode(), if_absent=True))
        assert ends.count("won") == 1
        assert store.get("a") == f"{ends.index('won')}".encode()

    def test_creators_of_the_same_content_are_still_one(self, store: ObjectStore) -> None:
        assert outcomes(8, lambda _: store.put("a", b"same", if_absent=True)).count("won") == 1

    def test_one_of_many_replacers_wins(self, store: ObjectStore) -> None:
        for turn in range(3):
            etag = store.put("a", f"start {turn}".encode()).etag
            ends = outcomes(
                6,
                lambda number, etag=etag: store.put("a", f"{number}".encode(), if_match=etag),  # type: ignore[misc]
            )
            assert ends.count("won") == 1
            assert store.get("a") == f"{ends.index('won')}".encode()

    def test_no_increment_is_lost(self, store: ObjectStore) -> None:
        store.put("count", b"0")

        def increment(_: int) -> None:
            while True:
                etag = store.head("count").etag
                count = int(store.get("count"))
                try:
                    # The object may have changed between the two reads; then the version no longer matches.
                    store.put("count", str(count + 1).encode(), if_match=etag)
                    return
                except Conflict:
                    continue

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, range(12)))
        assert store.get("count") == b"12"


class TestDownload:
    def test_pinned_to_a_version(self, store: ObjectStore, tmp_path: Path) -> None:
        first = store.put("a", b"one")
        store.download("a", tmp_path / "new" / "folder" / "copy", first.etag)
        assert (tmp_path / "new" / "folder" / "copy").read_bytes() == b"one"

    def test_a_replaced_version_is_missing_and_leaves_no_file(self, store: ObjectStore, tmp_path: Path) -> None:
        first = store.put("a", b"one")
        store.put("a", b"two")
        folder = tmp_path / "copies"
        with pytest.raises(ObjectMissing, match="no longer at version"):
            store.download("a", folder / "copy", first.etag)
        assert not folder.exists() or list(folder.iterdir()) == []

    def test_a_full_target_disk_is_said(self, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store.put("a", b"one")

        def full(part: Path, target: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(StoreError, match=r"disk of .*copy is full"):
            store.download("a", tmp_path / "copies" / "copy")
        assert list((tmp_path / "copies").iterdir()) == []

    def test_any_version(self, store: ObjectStore, tmp_path: Path) -> None:
        store.put("a", b"one")
        (tmp_path / "copy").write_bytes(b"older and longer")
        store.download("a", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == b"one"


class TestOpening:
    def test_a_store_is_opened_again_by_its_uri(self, tmp_path: Path) -> None:
        folder = tmp_path / "a lake" / "with+signs"
        store = open_store(folder.as_uri())
        store.put("a", b"1")
        assert open_store(store.uri).get("a") == b"1"
        assert (folder / "a").read_bytes() == b"1"

    def test_keys_are_relative_to_the_prefix(self, s3: Connection, s3_store: ObjectStore) -> None:
        s3_store.put("deep/a", b"1")
        bucket_and_prefix = s3_store.uri.removeprefix("s3://")
        bucket, _, prefix = bucket_and_prefix.partition("/")
        whole = connect(s3, f"s3://{bucket}")
        assert whole.uri == f"s3://{bucket}"
        assert whole.get(f"{prefix}/deep/a") == b"1"
        assert s3_store.path("deep/a") == f"s3://{bucket}/{prefix}/deep/a"
        assert s3_store.local("deep/a") is None
        assert s3_store.settles == 0

    def test_a_prefix_does_not_reach_into_its_neighbour(self, s3: Connection, s3_store: ObjectStore) -> None:
        s3_store.put("a", b"1")
        neighbour = connect(s3, s3_store.uri[:-1])
        assert keys(neighbour) == []

    def test_a_file_store_names_its_files(self, file_store: ObjectStore, tmp_path: Path) -> None:
        file_store.put("a/b", b"1")
        assert file_store.path("a/b") == str(tmp_path / "lake" / "a" / "b")
        assert file_store.local("a/b") == tmp_path / "lake" / "a" / "b"
        assert file_store.settles > 0

    @pytest.mark.parametrize(
        "uri",
        [
            *(
                "",
                "lake",
                "/tmp/lake",
                "file://lake",
                "file:lake",
                "file:///a/../b",
                "gs://bucket/x",
                "s3://",
            ),
            *("s3:///prefix", "s3://B/x", "s3://Bucket/x", "s3://bucket/a//b", "s3://bucket/../b"),
        ],
    )
    def test_other_uris_are_refused(self, uri: str) -> None:
        with pytest.raises(SettingsError, match="ASSAY_LAKE"):
            open_store(uri, access_key="a", secret_key="b")

    @pytest.mark.parametrize("below", ["", "lake", "deep/lake"])
    def test_a_file_is_no_lake_and_holds_none(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match="file is a file, not a folder"):
            open_store((tmp_path / "file" / below).as_uri())

    def test_a_lake_of_files_does_not_import_boto3(self, tmp_path: Path) -> None:
        program = (
            f"import sys; from assay.lake import open_store; open_store({tmp_path.as_uri()!r}).put('a', b'');"
            " sys.exit('boto3' in sys.modules)"
        )
        path = os.pathsep.join(sys.path)
        assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": path}).returncode == 0


class TestFolderOnly:
    def test_listing_is_sorted_by_whole_keys(self, file_store: ObjectStore) -> None:
        for key in ("a/1", "a-b/1", "a.txt", "a0", "B", "é"):
            file_store.put(key, b"")
        listed = [info.key for info in file_store.list("")]
        assert listed == sorted(listed)

    def test_hidden_files_are_not_objects(self, file_store: ObjectStore, tmp_path: Path) -> None:
        file_store.put("a/b", b"1", if_absent=True)
        (tmp_path / "lake" / "a" / ".b.part").write_bytes(b"half")
        assert keys(file_store) == ["a/b"]

    def test_a_file_put_there_by_another_program_is_an_object(self, file_store: ObjectStore, tmp_path: Path) -> None:
        file_store.put("a/b", b"1")
        (tmp_path / "lake" / "a" / "c").write_bytes(b"22")
        assert [info.size for info in file_store.list("a/c")] == [2]

    def test_a_copy_that_keeps_times_keeps_versions(self, file_store: ObjectStore, tmp_path: Path) -> None:
        file_store.put("landing/a", b"one")
        file_store.put("raw/b/c", b"two")
        restored = tmp_path / "restored"
        shutil.copytree(file_store.path("landing").removesuffix("landing"), restored, copy_function=shutil.copy2)
        assert list(open_store(restored.as_uri()).list("")) == list(file_store.list(""))

    @pytest.mark.parametrize("tick", [1, 1_000_000_000])
    def test_writes_within_a_tick_of_the_clock_differ(
        self, file_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tick: int
    ) -> None:
        """Also where the file system itself keeps no finer times."""
        stamp = os.utime
        monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
        monkeypatch.setattr(os, "utime", lambda path, ns: stamp(path, ns=(ns[0] // tick * tick, ns[1] // tick * tick)))
        versions = [file_store.put("a", content).etag for content in (b"one", b"two")]
        assert versions[0] != versions[1] == file_store.head("a").etag
        with pytest.raises(Conflict):
            file_store.put("a", b"six", if_match=versions[0])
        assert file_store.put("a", b"six", if_match=versions[1]).etag not in versions

    def test_processes_exclude_each_other(self, file_store: ObjectStore) -> None:
        program = (
            "import sys\nfrom assay.lake import open_store\nfrom assay.errors import Conflict\n"
            "store, won = open_store(sys.argv[1]), 0\n"
            "for number in range(50):\n"
            "    try:\n        store.put(f'{number}', sys.argv[2].encode(), if_absent=True); won += 1\n"
            "    except Conflict:\n        pass\n"
            "print(won)"
        )
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        racers = [
            subprocess.Popen([sys.executable, "-c", program, file_store.uri, name], env=environment, stdout=subprocess.PIPE)
            for name in "ab"
        ]
        assert sum(int(racer.communicate()[0]) for racer in racers) == 50

    def test_a_full_disk_is_said_and_leaves_nothing(
        self, file_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file_store.put("a", b"old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"disk of .* is full.*ASSAY_LAKE"):
            file_store.put("a", b"new")
        assert file_store.get("a") == b"old"
        assert list((tmp_path / "lake" / ".tmp").iterdir()) == []

    def test_a_key_below_an_object_is_refused(self, file_store: ObjectStore) -> None:
        file_store.put("a", b"")
        with pytest.raises(StoreError, match="Choose another key"):
            file_store.put("a/b", b"")
        file_store.put("c/d", b"")
        with pytest.raises(StoreError, match="Choose another key"):
            file_store.put("c", b"")

    def test_what_killed_writers_left_is_removed_in_the_end(self, file_store: ObjectStore, tmp_path: Path) -> None:
        file_store.put("a", b"")
        left = tmp_path / "lake" / ".tmp" / "left"
        left.touch()
        open_store(file_store.uri)
        assert left.exists()
        os.utime(left, (time.time() - 100_000,) * 2)
        open_store(file_store.uri)
        assert not left.exists()


class TestS3Only:
    def test_folder_markers_are_not_objects(self, s3: Connection, s3_store: ObjectStore) -> None:
        s3_store.put("a/b", b"1")
        client = boto3_client(s3)
        bucket, _, prefix = s3_store.uri.removeprefix("s3://").partition("/")
        client.put_object(Bucket=bucket, Key=f"{prefix}/folder/", Body=b"")
        client.put_object(Bucket=bucket, Key=f"{prefix}/", Body=b"")
        assert keys(s3_store) == ["a/b"]

    def test_a_lost_answer_is_not_taken_for_a_lost_race(self, s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        lose_first_answer(monkeypatch)
        info = s3_store.put("a", b"mine", if_absent=True)
        assert s3_store.head("a").etag == info.etag
        lose_first_answer(monkeypatch)
        s3_store.put("a", b"again", if_match=info.etag)
        assert s3_store.get("a") == b"again"

    def test_a_body_that_breaks_off_is_read_again(
        self, s3_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        body = os.urandom(3_000_000)
        etag = s3_store.put("a", body).etag
        break_first_body(monkeypatch)
        assert s3_store.get("a") == body
        break_first_body(monkeypatch)
        s3_store.download("a", tmp_path / "copy", etag)
        assert (tmp_path / "copy").read_bytes() == body

    def test_a_race_lost_while_an_answer_was_lost_is_lost(self, s3_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
        s3_store.put("a", b"same")
        lose_first_answer(monkeypatch)
        with pytest.raises(Conflict):
            s3_store.put("a", b"same", if_absent=True)

    def test_a_missing_bucket_is_named(self, s3: Connection) -> None:
        store = connect(s3, "s3://no-such-bucket/x")
        for operation in (lambda: store.put("a", b""), lambda: store.get("a"), lambda: list(store.list(""))):
            with pytest.raises(StoreError, match=r"no bucket no-such-bucket.*ASSAY_LAKE"):
                operation()

    def test_wrong_credentials_are_said(self, s3: Connection, s3_store: ObjectStore) -> None:
        for access_key, secret_key in ((s3.access_key, "wrong"), ("wrong", s3.secret_key)):
            store = open_store(
                s3_store.uri,
                endpoint=s3.endpoint,
                region=s3.region,
                access_key=access_key,
                secret_key=secret_key,
            )
            with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID"):
                store.get("a")
            with pytest.raises(StoreError, match="AWS_ACCESS_KEY_ID"):
                store.head("a")

    def test_no_server_is_unavailable(self) -> None:
        endpoint = f"http://127.0.0.1:{find_free_port()}"
        store = open_store("s3://bucket/x", endpoint=endpoint, access_key="a", secret_key="b")
        with pytest.raises(StoreUnavailable, match=rf"{endpoint}.*AWS_ENDPOINT_URL"):
            store.get("a")

    def test_missing_credentials_are_a_setting(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        without_aws(monkeypatch, tmp_path)
        with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID"):
            open_store("s3://bucket/x", endpoint="http://127.0.0.1:1")
        with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY"):
            open_store("s3://bucket/x", endpoint="http://127.0.0.1:1", access_key="a")

    def test_a_profile_gives_keys_region_and_server_to_all_who_read(
        self, s3_store: ObjectStore, s3: Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        without_aws(monkeypatch, tmp_path)
        config = tmp_path / "config"
        config.write_text(f"[profile lake]\nregion = {s3.region}\nendpoint_url = {s3.endpoint}\n")
        keys = tmp_path / "keys"
        keys.write_text(f"[lake]\naws_access_key_id = {s3.access_key}\naws_secret_access_key = {s3.secret_key}\n")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
        monkeypatch.setenv("AWS_PROFILE", "lake")
        store = open_store(s3_store.uri)
        assert store.s3_access() == S3Access(store.uri, s3.endpoint, s3.region, s3.access_key, s3.secret_key)
        store.put("a.csv", b"n\n7\n")
        with duckdb_connect(Limits("100MB", 1, tmp_path / "scratch"), store.s3_access()) as connection:
            assert connection.execute(f"FROM read_csv('{store.path('a.csv')}')").fetchall() == [(7,)]

    def test_a_token_goes_with_temporary_keys(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        without_aws(monkeypatch, tmp_path)
        given = open_store("s3://bucket/x", access_key="a", secret_key="b", session_token="c")
        assert given.s3_access() == S3Access("s3://bucket/x", None, None, "a", "b", "c")
        for name, value in {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "SESSION_TOKEN": "c"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        found = open_store("s3://bucket/x")
        assert found.s3_access() == given.s3_access()
        # A token of the environment is not of other keys.
        assert open_store("s3://bucket/x", access_key="d", secret_key="e").s3_access().session_token is None  # type: ignore[union-attr]

    def test_a_connection_is_given_other_keys(self, s3_store: ObjectStore, tmp_path: Path) -> None:
        s3_store.put("a.csv", b"n\n7\n")
        good = s3_store.s3_access()
        assert good is not None
        expired = replace(good, secret_key="expired")
        with duckdb_connect(Limits("100MB", 1, tmp_path / "scratch"), expired) as connection, connection.cursor() as cursor:
            with pytest.raises(duckdb.Error, match="403"):
                cursor.execute(f"FROM read_csv('{s3_store.path('a.csv')}')")
            grant(connection, good)
            assert cursor.execute(f"FROM read_csv('{s3_store.path('a.csv')}')").fetchall() == [(7,)]

    def test_secrets_are_not_shown(self) -> None:
        assert "hidden" not in repr(S3Access("s3://x", None, None, "a", "hidden key", "hidden token"))

    def test_a_proxy_is_not_used_for_loopback(
        self, s3_store: ObjectStore, s3: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        connect(s3, s3_store.uri).put("a", b"1")


def without_aws(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Leave boto3 nothing to find."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))


def connect(s3: Connection, uri: str) -> ObjectStore:
    return open_store(uri, endpoint=s3.endpoint, region=s3.region, access_key=s3.access_key, secret_key=s3.secret_key)


def boto3_client(s3: Connection):  # type: ignore[no-untyped-def]
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    )


def lose_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next request be done by the server, and its answer get lost on the way back."""
    from botocore.exceptions import ConnectionClosedError
    from botocore.httpsession import URLLib3Session

    send = URLLib3Session.send

    def send_and_lose(session: URLLib3Session, request):  # type: ignore[no-untyped-def]
        monkeypatch.setattr(URLLib3Session, "send", send)
        send(session, request)
        raise ConnectionClosedError(endpoint_url=request.url)

    monkeypatch.setattr(URLLib3Session, "send", send_and_lose)


def break_first_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the connection break within the next body that is read."""
    from botocore.exceptions import ResponseStreamingError
    from botocore.response import StreamingBody

    read = StreamingBody.read

    def read_and_break(body: StreamingBody, amount: int | None = None) -> bytes:
        monkeypatch.setattr(StreamingBody, "read", read)
        read(body, 1000)
        raise ResponseStreamingError(error="connection broken")

    monkeypatch.setattr(StreamingBody, "read", read_and_break)
