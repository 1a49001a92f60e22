"""Addresses: removed by fsspec wherever they lead, with nothing secret written down."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._scopes.kinds import url, url_main
from support.adopted import reap, shown, track_and_be_killed
from support.artifacts import track

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with something in it, and beside it one whose name begins alike."""
    for name in ("job/a", "job/below/b", "job2/c"):
        file = tmp_path / "files" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return tmp_path / "files"


def left(place: Path) -> list[str]:
    return sorted(str(one.relative_to(place)) for one in place.rglob("*") if one.is_file())


@pytest.mark.parametrize("end", ["", "/"])
def test_a_directory_goes_with_all_that_is_in_it(place: Path, end: str) -> None:
    """Cleaning removes what lies below and nothing beside it; twice is once."""
    made = track("url", f"file://{place}/job{end}")
    made.clean()
    assert left(place) == ["job2/c"]
    assert not (place / "job").exists()
    made.clean()


def test_one_object(place: Path) -> None:
    """Without a slash at its end an address is of one thing."""
    made = track("url", f"file://{place}/job/a")
    made.clean()
    assert left(place) == ["job/below/b", "job2/c"]
    made.clean()


def test_what_is_yet_to_come(place: Path) -> None:
    """A prefix may be recorded before anything is below it."""
    made = track("url", f"file://{place}/new/")
    made.clean()
    (place / "new").mkdir()
    (place / "new" / "x").touch()
    made.clean()
    assert not (place / "new").exists()


@pytest.mark.thorough
def test_a_link_is_not_followed(place: Path) -> None:
    """What a link points to stays."""
    (place / "job" / "link").symlink_to(place / "job2")
    (place / "link").symlink_to(place / "job2")
    track("url", f"file://{place}/job/").clean()
    track("url", f"file://{place}/link").clean()
    assert left(place) == ["job2/c"]
    assert sorted(os.listdir(place)) == ["job2"]


@pytest.mark.thorough
def test_another_file_in_its_place_is_left_alone(place: Path) -> None:
    """Where the file system numbers its files, another one is known."""
    made = track("url", f"file://{place}/job/a")
    (place / "new").write_text("another")
    os.replace(place / "new", place / "job" / "a")
    with pytest.raises(errors.ArtifactReplaced, match="another one"):
        made.clean()
    assert (place / "job" / "a").read_text() == "another"


@pytest.mark.thorough
def test_another_type_in_its_place_is_left_alone(place: Path) -> None:
    """A directory where a file was stays, and a file where a prefix was."""
    made = track("url", f"file://{place}/job/a")
    (place / "job" / "a").unlink()
    (place / "job" / "a").mkdir()
    with pytest.raises(errors.ArtifactReplaced, match="it is a directory now"):
        made.clean()
    prefix = track("url", f"file://{place}/later/")
    (place / "later").touch()
    with pytest.raises(errors.ArtifactReplaced, match="it is a file now"):
        prefix.clean()


def test_memory(tmp_path: Path) -> None:
    """What is in this process's memory goes with the scope too, as tests like to have it."""
    memory = fsspec.filesystem("memory")
    memory.pipe({"/job/a": b"", "/job/b/c": b"", "/job2/d": b""})
    with lastout.Scope(root=tmp_path / "root") as scope:
        scope.track("url", "memory://job/")
    assert memory.find("/") == ["/job2/d"]
    memory.rm("/job2", recursive=True)


def test_memory_of_another_process() -> None:
    """What another process had in its memory is not looked for in this one's."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/job/a", b"")
    made = track("url", "memory://job/")
    made.data["process"] += 1
    made.clean()
    assert memory.find("/") == ["/job/a"]
    memory.rm("/job", recursive=True)


SECRETS = [
    "s3://key:hunter2@bucket/x/",
    "s3://key:hun/ter2@bucket/x/",
    "sftp://user:hunter2@host:22/x",
    "simplecache::s3://key:hunter2@bucket/x/",
]


@pytest.mark.parametrize("address", SECRETS)
def test_a_password_is_not_written_down(address: str) -> None:
    """An address with a password is refused, and the error does not tell it."""
    with pytest.raises(errors.UsageError, match="has a password in it") as caught:
        track("url", address)
    assert "ter2" not in str(caught.value)


def test_a_key_behind_a_question_mark_is_not_told() -> None:
    """Addresses that are signed are refused as patterns; their key is not in the error."""
    with pytest.raises(errors.UsageError) as caught:
        track("url", "abfs://box@account/x?sig=hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("", "x", "/x", "s3:/x", "://x", "s3://a/b\n", "s3://a/b\0", "s3://\ud800/"),
        *("zip://x::file:///a", "s3://bucket/*", "file:///tmp/a?", "s3://b/x[1]"),
        *("file:///tmp/../etc/", "file:///tmp/./x", "file://x/y", "file://~/x", "local://x"),
    ],
)
def test_what_is_no_address(address: str) -> None:
    """What is no plain address of one place is an error before anybody is asked."""
    with pytest.raises(errors.UsageError, match="cannot be tracked as a url"):
        track("url", address)


@pytest.mark.parametrize("address", ["file:///", "memory://", "memory:///"])
def test_all_of_a_file_system(address: str) -> None:
    """It takes a name in it."""
    with pytest.raises(errors.UsageError, match="all of a file system"):
        track("url", address)


@pytest.mark.parametrize("location", [7, b"file:///x", None])
def test_the_wrong_type(location: object) -> None:
    """An address is text."""
    with pytest.raises(TypeError):
        track("url", location)


def test_nothing_is_there(place: Path) -> None:
    """An object that is not there is not recorded."""
    with pytest.raises(errors.ArtifactMissing, match="end the address"):
        track("url", f"file://{place}/none")


@pytest.mark.thorough
def test_an_unknown_protocol() -> None:
    """What fsspec says of it is in the error."""
    with pytest.raises(errors.SystemRefused, match="Protocol not known: teapot"):
        track("url", "teapot://x/y/")


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """The error names what to install: when it is recorded, and when it is cleaned."""
    made = track("url", f"file://{place}/job/")
    monkeypatch.setattr(url, "find_spec", lambda _: None)
    with pytest.raises(errors.UsageError, match=r"install lastout\[url\]"):
        track("url", "file:///x/")
    monkeypatch.setattr(url, "_CHILD", "raise SystemExit('no fsspec')")
    with pytest.raises(errors.CleanupFailed, match=r"no fsspec; install lastout\[url\]"):
        made.clean()


def test_a_url_that_does_not_answer_keeps_its_time(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """Its time is kept, also where nobody answers."""
    made = track("url", f"file://{place}/job/")
    monkeypatch.setattr(url, "_CHILD", "import time; time.sleep(60)")
    with pytest.raises(errors.CleanupTimeout):
        made.clean(seconds=0.5)


def test_in_a_frozen_program(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """Without a Python to run it cannot be recorded, and the error says why."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(errors.SystemRefused, match="is frozen"):
        track("url", f"file://{place}/job/")


class Bucket:
    """A store as fsspec has them, with what it is asked for."""

    root_marker = ""

    def __init__(self, names: list[str], endless: bool = False) -> None:
        self.names, self.endless = names, endless
        self.requests: list[object] = []

    def find(self, path: str) -> list[str]:
        return [f"{path}/one more"] if self.endless else list(self.names)

    def rm(self, paths: list[str]) -> None:
        self.requests.append(len(paths))
        self.names = [one for one in self.names if one not in paths]

    def rm_file(self, path: str) -> None:
        self.requests.append(path)
        self.names.remove(path)

    def invalidate_cache(self) -> None:
        pass

    def info(self, path: str) -> None:
        raise FileNotFoundError(path)


def test_somebody_writes_on() -> None:
    """What never becomes empty is an error."""
    with pytest.raises(OSError, match="more comes"):
        url_main._empty(Bucket([], endless=True), "bucket/job")


def test_more_than_one_request_takes() -> None:
    """Stores take a thousand at once; names that would be taken for others go one by one."""
    odd = ["b/job/[x]", "b/job/y*", "b/job/"]
    bucket = Bucket([f"b/job/{number}" for number in range(1001)] + odd)
    url_main._empty(bucket, "b/job")
    assert bucket.names == []
    assert bucket.requests == [1000, 1, *odd]


def test_after_a_kill(place: Path, tmp_path: Path) -> None:
    """What a killed process had handed over goes with the next reap."""
    track_and_be_killed(tmp_path / "root", "url", f"file://{place}/job/")
    assert (place / "job").exists()
    reap(tmp_path / "root")
    assert left(place) == ["job2/c"]


@pytest.mark.thorough
def test_it_is_listed(place: Path, tmp_path: Path) -> None:
    """`lastout show` names it."""
    with lastout.Scope("job", root=tmp_path / "root") as scope:
        scope.track("url", f"file://{place}/job/")
        assert f"file://{place}/job/" in shown(tmp_path / "root")


class Store:
    """A server of S3, and what is in a bucket of it."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def names(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket="bucket").get("Contents", [])
        return [one["Key"] for one in found]

    def uploads(self) -> list[tuple[str, str]]:
        found = self.client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
        return [(one["Key"], one["UploadId"]) for one in found]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of moto's S3 server."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A bucket with a few objects."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client("s3")
    client.create_bucket(Bucket="bucket")
    for name in ("job", "job/a", "job/b/c", "job/x[1]", "job/x1", "job/y*", "job/", "job2/d"):
        client.put_object(Bucket="bucket", Key=name, Body=b"x")
    found = Store(client)
    yield found
    for name in found.names():
        client.delete_object(Bucket="bucket", Key=name)
    for name, upload in found.uploads():
        client.abort_multipart_upload(Bucket="bucket", Key=name, UploadId=upload)
    client.delete_bucket(Bucket="bucket")
    client.close()


def test_a_prefix_in_s3(store: Store) -> None:
    """All below it goes, and neither the object of its name nor what only begins so."""
    made = track("url", "s3://bucket/job/")
    assert made.data == {}
    made.clean()
    assert store.names() == ["job", "job2/d"]
    made.clean()


def test_an_object_in_s3(store: Store) -> None:
    """One object goes, and nothing below it as a prefix."""
    track("url", "s3://bucket/job2/d").clean()
    assert "job2/d" not in store.names()
    assert "job/a" in store.names()


def test_uploads_of_a_killed_writer(store: Store) -> None:
    """Parts that nobody sees go as well, where they are below the prefix."""
    for name in ("job/part", "job2/part"):
        store.client.create_multipart_upload(Bucket="bucket", Key=name)
    track("url", "s3://bucket/job/").clean()
    assert [name for name, _ in store.uploads()] == ["job2/part"]


def test_a_whole_bucket(store: Store) -> None:
    """It takes a name in it."""
    for address in ("s3://bucket", "s3://bucket/"):
        with pytest.raises(errors.UsageError, match="all of a file system or bucket"):
            track("url", address)


def test_who_cleans_is_not_let_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer nothing is known to be gone: it stays recorded, and the error says why."""
    made = track("url", "s3://bucket/job/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(errors.CleanupFailed, match=r"(?i)connect"):
        made.clean()
    assert "job/a" in store.names()


def test_a_bucket_that_is_gone_is_clean(store: Store) -> None:
    """With its bucket the prefix is gone."""
    track("url", "s3://no-such-bucket/job/").clean()


def test_s3_after_a_kill(store: Store, tmp_path: Path) -> None:
    """The next reap removes what a killed process had in a bucket; no key is in its journal."""
    root = tmp_path / "root"
    track_and_be_killed(root, "url", "s3://bucket/job/")
    journals = list((root / "job").glob("*.journal"))
    assert journals
    assert not any(b"hunter2" in one.read_bytes() for one in journals)
    reap(root)
    assert store.names() == ["job", "job2/d"]


@pytest.mark.thorough
def test_what_is_recorded_is_json() -> None:
    """Type and number of a file, and nothing of how it is reached."""
    recorded = json.dumps(track("url", f"file://{__file__}").data)
    assert set(json.loads(recorded)) == {"type", "inode"}
