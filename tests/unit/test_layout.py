import hashlib
import io
import json
import os
import threading
from pathlib import Path

import pytest
from support.made_images import blob, make_image, offer

from mlenv.errors import DigestMismatchError, RefusedError, UnavailableError, UsageError
from mlenv.model.digest import Digest
from mlenv.oci.descriptor import CONTAINERD_NAME, OCI_MANIFEST, REF_NAME, Descriptor
from mlenv.oci.layout import Layout
from mlenv.oci.layout_writer import LayoutWriter


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in files(folder) if (folder / name).is_file()}


def write(path: Path, content: bytes, name: str = "", tag: str = "") -> Descriptor:
    with LayoutWriter(path) as out:
        out.add_blob(content)
        return out.finish(Descriptor.of(content, OCI_MANIFEST), name, tag=tag)


def test_a_new_layout_holds_exactly_what_was_put_in(tmp_path: Path) -> None:
    layout = tmp_path / "a" / "b"
    with LayoutWriter(layout) as out:
        with out.blob_writer() as sink:
            sink.write(b"lay")
            sink.write(b"er")
            out.commit(sink, Digest.of(b"layer"))
        assert out.has(Digest.of(b"layer"), 5)
        digest = out.add_blob(b"manifest")
        assert out.copy_blob(io.BytesIO(b"base"), Digest.of(b"base")) == 4
        assert not (layout / "index.json").exists()
        entry = out.finish(Descriptor.of(b"manifest", OCI_MANIFEST), "sentiment:1.4.0")
    names = {f"blobs/sha256/{Digest.of(data).hex}" for data in (b"layer", b"manifest", b"base")}
    assert files(layout) == names | {"blobs", "blobs/sha256", "index.json", "oci-layout"}
    assert entry.annotations == {CONTAINERD_NAME: "docker.io/library/sentiment:1.4.0", REF_NAME: "1.4.0"}
    read = Layout(layout)
    assert read.find("1.4.0") == read.find(digest=digest) == read.find() == entry
    assert all((layout / name).stat().st_mode & 0o777 == 0o644 for name in (*names, "index.json", "oci-layout"))
    assert json.loads((layout / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}


def _interrupted(path: Path, moment: str) -> None:
    with LayoutWriter(path) as out:
        if moment == "in a blob":
            with out.blob_writer() as sink:
                sink.write(b"half")
                raise KeyboardInterrupt
        if moment == "after a blob":
            out.add_blob(b"whole")
        raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["before", "in a blob", "after a blob"])
def test_nothing_stays_of_a_writer_that_fails(tmp_path: Path, moment: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        _interrupted(tmp_path / "a" / "b", moment)
    assert files(tmp_path) == set()


def _fails_late(path: Path) -> None:
    with LayoutWriter(path) as out:
        out.add_blob(b"one")
        out.copy_blob(io.BytesIO(b"one"), Digest.of(b"one"))
        out.add_blob(b"two")
        raise ZeroDivisionError


def test_a_failing_writer_leaves_an_existing_layout_as_it_was(tmp_path: Path) -> None:
    write(tmp_path / "l", b"one", "a:1")
    before = contents(tmp_path / "l")
    with pytest.raises(ZeroDivisionError):
        _fails_late(tmp_path / "l")
    assert contents(tmp_path / "l") == before


def test_a_block_that_ends_without_finish_leaves_nothing(tmp_path: Path) -> None:
    with LayoutWriter(tmp_path / "l") as out:
        out.add_blob(b"x")
    assert files(tmp_path) == set()


def test_an_image_joins_others_and_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    layout = tmp_path / "l"
    write(layout, b"one", "a:1")
    write(layout, b"two", "a:2")
    write(layout, b"three", "a:1")
    write(layout, b"four", "a:9", tag="other")
    named = {entry.annotations[REF_NAME]: entry.digest for entry in Layout(layout).index().manifests}
    assert named == {"2": Digest.of(b"two"), "1": Digest.of(b"three"), "other": Digest.of(b"four")}
    with pytest.raises(UsageError, match="several images") as caught:
        Layout(layout).find()
    assert "choose one of: 2 sha256:" in caught.value.problems[0].hint
    with pytest.raises(UsageError, match="no image 7"):
        Layout(layout).find("7")


def test_names_in_a_layout_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    descriptors = [
        {
            "mediaType": "a/b",
            "digest": "sha256:" + str(number) * 64,
            "size": 1,
            "annotations": {REF_NAME: "x\n\x1b[31m"},
        }
        for number in range(2)
    ]
    offer(tmp_path, *descriptors)
    with pytest.raises(UsageError) as caught:
        Layout(tmp_path).find()
    assert caught.value.problems[0].hint.isprintable()


def test_entries_of_others_stay_as_they_were(tmp_path: Path) -> None:
    foreign = {"mediaType": "application/x", "digest": "sha256:" + "0" * 64, "size": 1, "annotations": {"k": "v"}}
    offer(tmp_path, foreign)
    write(tmp_path, b"one", "a:1")
    assert json.loads((tmp_path / "index.json").read_text())["manifests"][0] == foreign


@pytest.mark.parametrize("name", ["notes.txt", "index.html"])
def test_a_directory_of_something_else_is_not_written_into(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match="not empty"), LayoutWriter(tmp_path):
        pass
    assert files(tmp_path) == {name}


def test_a_broken_layout_is_not_written_into(tmp_path: Path) -> None:
    offer(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(RefusedError, match=r"index\.json"), LayoutWriter(tmp_path):
        pass
    assert files(tmp_path) == {"index.json", "oci-layout"}


def test_leftovers_of_a_killed_process_are_swept_up_and_its_whole_blobs_used(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    (blobs / ".mlenv-abc").write_bytes(b"half")
    (blobs / Digest.of(b"whole").hex).write_bytes(b"whole")
    with LayoutWriter(tmp_path) as out:
        assert out.has(Digest.of(b"whole"), 5)
        assert out.add_blob(b"whole") == Digest.of(b"whole")
        out.finish(Descriptor.of(b"whole", OCI_MANIFEST))
    assert files(blobs) == {Digest.of(b"whole").hex}


def test_a_blob_that_was_changed_is_not_there_and_is_written_anew(tmp_path: Path) -> None:
    write(tmp_path / "l", b"content")
    path = Layout(tmp_path / "l").blob_path(Digest.of(b"content"))
    path.write_bytes(b"cont3nt")
    with LayoutWriter(tmp_path / "l") as out:
        assert not out.has(Digest.of(b"content"), 7)
        assert not out.has(Digest.of(b"content"))
        out.add_blob(b"content")
        out.finish(Descriptor.of(b"content", OCI_MANIFEST))
    assert path.read_bytes() == b"content"


def test_a_copy_with_another_digest_is_refused_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError), LayoutWriter(tmp_path / "l") as out:
        out.copy_blob(io.BytesIO(b"other"), Digest.of(b"wanted"))
    assert files(tmp_path) == set()


def test_reading_refuses_what_does_not_hash_right(tmp_path: Path) -> None:
    made = make_image(tmp_path)
    layout, digest = Layout(tmp_path), Digest.parse(made.config)
    with layout.open_blob(digest) as file:
        assert hashlib.sha256(file.read()).hexdigest() == digest.hex
    layout.blob_path(digest).write_bytes(b"{}")
    with pytest.raises(DigestMismatchError), layout.open_blob(digest):
        pass
    with pytest.raises(DigestMismatchError):
        layout.read_blob(digest)
    layout.blob_path(digest).unlink()
    os.mkfifo(layout.blob_path(digest))
    with pytest.raises(RefusedError, match="not a plain file"), layout.open_blob(digest):
        pass
    assert not layout.has(digest)


def test_a_blob_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    described = blob(tmp_path, b"x" * 100, "application/x")
    with pytest.raises(RefusedError, match="larger than 99 bytes"):
        Layout(tmp_path).read_blob(Digest.parse(described["digest"]), limit=99)


@pytest.mark.parametrize("missing", ["index.json", "oci-layout"])
def test_what_is_no_layout_is_said_to_be_none(tmp_path: Path, missing: str) -> None:
    make_image(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UsageError, match=f"not an OCI layout: {missing} is missing"):
        Layout(tmp_path).index()
    with pytest.raises(UsageError, match="there is no such folder"):
        Layout(tmp_path / "index.json" / "x").index()


def test_a_layout_of_another_version_is_refused(tmp_path: Path) -> None:
    make_image(tmp_path)
    (tmp_path / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(RefusedError, match="imageLayoutVersion"):
        Layout(tmp_path).index()


def test_threads_may_write_blobs_at_once(tmp_path: Path) -> None:
    blobs = [bytes([number]) * 100_000 for number in range(16)]
    with LayoutWriter(tmp_path / "l", durable=False) as out:
        threads = [threading.Thread(target=out.add_blob, args=(content,)) for content in (*blobs, *blobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        out.finish(Descriptor.of(blobs[0], OCI_MANIFEST))
    layout, sizes = Layout(tmp_path / "l"), {Digest.of(content): len(content) for content in blobs}
    assert layout.present(sizes | {Digest.of(b"missing"): 7}) == set(sizes)
    assert len(files(tmp_path / "l" / "blobs" / "sha256")) == 16


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(full_disk: Path) -> None:
    with pytest.raises(UnavailableError, match="No space left") as caught, LayoutWriter(full_disk / "l") as out:
        out.copy_blob(io.BytesIO(bytes(8 << 20)), Digest.of(bytes(8 << 20)))
    assert "free some space" in caught.value.problems[0].hint
    assert files(full_disk) == set()
