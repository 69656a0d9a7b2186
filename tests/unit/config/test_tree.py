import os
from pathlib import Path

import pytest

from backfuturectl.config import tree
from backfuturectl.config.tree import RACY_MS, SIZE_MAX, scan, scan_all
from backfuturectl.model.errors import ConfigurationError

LATER_MS = 32_503_680_000_000
"""So late that every file has long been quiet."""


def rules(tree):
    return {Path(file.path).name: file.rule for file in tree.files}


def quick(root, before, now_ms=LATER_MS):
    return scan(root, before, now_ms=now_ms, is_whole=False)


def test_a_missing_root_is_an_error_and_not_an_empty_tree(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        scan(tmp_path / "nowhere")


def test_an_empty_root_is_an_empty_tree(tmp_path):
    assert scan(tmp_path).files == ()


def test_only_yaml_files_count_and_hidden_ones_do_not(tmp_path):
    for name in ("a.yaml", "b.yml", "c.json", ".sops.yaml", ".#a.yaml", "a.yaml~", ".a.yaml.swp"):
        (tmp_path / name).write_text("a: 1")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "x.yaml").write_text("a: 1")
    assert list(rules(scan(tmp_path))) == ["a.yaml", "b.yml"]


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        pytest.param(b"", "BF102", id="empty"),
        pytest.param(b" \n\n", "BF102", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "BF102", id="only a byte order mark"),
        pytest.param(b"a: \xff", "BF103", id="not UTF-8"),
        pytest.param(b"a" * (SIZE_MAX + 1), "BF104", id="too large"),
    ],
)
def test_an_unusable_file_is_present_and_unknown(tmp_path, content, rule):
    (tmp_path / "a.yaml").write_bytes(content)
    assert rules(scan(tmp_path)) == {"a.yaml": rule}


def test_a_dangling_link_a_pipe_and_a_link_to_itself_are_present_and_unknown(tmp_path):
    (tmp_path / "dangling.yaml").symlink_to("nowhere")
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    assert set(rules(scan(tmp_path)).values()) == {"BF101"}
    assert len(scan(tmp_path).files) == 3


def test_a_file_name_that_is_not_utf8_survives_and_prints(tmp_path):
    raw = os.fsencode(tmp_path) + b"/\xff.yaml"
    with open(raw, "wb") as file:
        file.write(b"a: 1")
    (found,) = scan(tmp_path).files
    assert found.content == b"a: 1"
    assert found.path.endswith("\\xff.yaml")
    found.path.encode()


def test_a_loop_of_links_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path)
    (tmp_path / "a" / "x.yaml").write_text("a: 1")
    assert len(scan(tmp_path).files) == 1


def test_swapping_the_link_that_is_the_root_shows_the_new_release(tmp_path):
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "a.yaml").write_text(f"release: {release}")
    link = tmp_path / "current"
    link.symlink_to("one")
    before = scan(link)
    link.unlink()
    link.symlink_to("two")
    after = scan(link, before)
    assert after.files[0].content == b"release: two"
    assert after.digest != before.digest


def test_a_mounted_volume_with_a_data_link_shows_each_file_once(tmp_path):
    (tmp_path / "..v1").mkdir()
    (tmp_path / "..v1" / "a.yaml").write_text("a: 1")
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert [file.content for file in scan(tmp_path).files] == [b"a: 1"]


def test_content_decides_even_when_size_and_time_are_the_same(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before, status = scan(tmp_path), path.stat()
    path.write_text("a: 2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = scan(tmp_path, before)
    assert after.files[0].digest != before.files[0].digest


def test_an_unchanged_file_keeps_its_value_and_a_touched_one_the_digest(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = scan(tmp_path)
    path.touch()
    after = scan(tmp_path, before)
    assert after.files[0] is before.files[0]
    assert after.digest == before.digest


# A quick scan.


@pytest.fixture
def still(monkeypatch):
    """Make every file bear the same times, number and size for ever; return those times, in ms."""
    changed_ms = 1_000_000
    stamp = (1, 1, 4, changed_ms * 1_000_000, changed_ms * 1_000_000)
    monkeypatch.setattr(tree, "_stamp", lambda _: stamp)
    return changed_ms


def test_a_quick_scan_does_not_read_what_its_stamp_says_is_known(tmp_path, still):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = scan(tmp_path, now_ms=LATER_MS)
    path.write_text("a: 2")
    assert quick(tmp_path, before) == before


def test_a_whole_scan_trusts_no_stamp(tmp_path, still):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = scan(tmp_path, now_ms=LATER_MS)
    path.write_text("a: 2")
    after = scan(tmp_path, before, now_ms=LATER_MS)
    assert after.files[0].content == b"a: 2"


def test_a_file_read_right_after_it_changed_is_read_again(tmp_path, still):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    just_now = scan(tmp_path, now_ms=still + RACY_MS)
    path.write_text("a: 2")
    assert quick(tmp_path, just_now).files[0].content == b"a: 2"


def test_a_file_that_stayed_quiet_is_known_from_its_next_reading_on(tmp_path, still):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    just_now = scan(tmp_path, now_ms=still + RACY_MS)
    quiet = quick(tmp_path, just_now, now_ms=still + RACY_MS + 1)
    path.write_text("a: 2")
    assert quick(tmp_path, quiet).files[0].content == b"a: 1"


def test_a_file_that_changed_while_it_was_read_is_read_again(tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    stamps = iter([(1, 1, 4, 0, 0), (1, 1, 4, 0, 1), *[(1, 1, 4, 0, 1)] * 9])
    monkeypatch.setattr(tree, "_stamp", lambda _: next(stamps))
    before = scan(tmp_path, now_ms=LATER_MS)
    path.write_text("a: 2")
    assert quick(tmp_path, before).files[0].content == b"a: 2"


def test_without_the_time_no_stamp_is_taken(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    assert scan(tmp_path).files[0].stamp is None


def rewrite(path):
    """Change the content in place, and put its time back."""
    before = path.stat()
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the kernel's clock ticks coarsely
        path.write_text("a: 2")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    """Move another file of the same size and time over it."""
    before, other = path.stat(), path.with_name("other")
    other.write_text("a: 2")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def lengthen(path):
    """Change content and size."""
    path.write_text("a: 2 ")


def relink(path):
    """Make it a link to something else."""
    other = path.with_name("other")
    other.write_text("a: 2")
    path.unlink()
    path.symlink_to(other)


@pytest.mark.parametrize("change", [rewrite, replace, lengthen, relink])
def test_a_quick_scan_finds_what_a_program_can_do_to_a_file(tmp_path, change):
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    before = scan(tmp_path, now_ms=LATER_MS)
    assert before.files[0].stamp is not None
    change(path)
    after = quick(tmp_path, before)
    assert after.files[0].content.rstrip() == b"a: 2"
    assert after.digest == scan(tmp_path).digest


def test_a_quick_scan_finds_files_that_came_and_went(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("a: 1")
    before = scan(tmp_path, now_ms=LATER_MS)
    (tmp_path / "a.yaml").unlink()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "c.yaml").write_text("a: 1")
    after = quick(tmp_path, before)
    assert list(rules(after)) == ["b.yaml", "c.yaml"]
    assert after.digest == scan(tmp_path).digest


@pytest.mark.parametrize("root", [".", "./", "sub/..", "sub/../x", "x/", "./x"])
def test_paths_are_shown_in_their_normal_form(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    for folder in ("sub", "x/y"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "x" / "y" / "a.yaml").write_text("a: 1")
    (found,) = scan(root).files
    assert found.path == "x/y/a.yaml"
    (found,) = scan("x/y/../y/a.yaml").files
    assert found.path == "x/y/a.yaml"


def test_the_digest_does_not_depend_on_where_the_root_lies(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text("a: 1")
    assert scan(tmp_path / "one").digest == scan(tmp_path / "two").digest


def test_renaming_a_file_changes_the_tree(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    before = scan(tmp_path).digest
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")
    assert scan(tmp_path).digest != before


def test_a_file_reached_twice_counts_once(tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    assert len(scan_all([tmp_path, tmp_path / "a.yaml", tmp_path]).files) == 1
