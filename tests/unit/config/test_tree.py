import os
from pathlib import Path

import pytest

from backfuturectl.config.tree import SIZE_MAX, scan, scan_all
from backfuturectl.model.errors import ConfigurationError


def rules(tree):
    return {Path(file.path).name: file.rule for file in tree.files}


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
