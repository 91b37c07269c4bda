"""The folder of flow files: what is new in it, and that a broken file stands alone."""

import os
from pathlib import Path

from tests.flow_mistakes import FLOW_TEXT
from tracker.core.flow import Flows
from tracker.runtime.flow_folder import FlowFolder


def found(folder: FlowFolder, known: Flows | None = None) -> tuple[list[str], dict[str, list[str]]]:
    flows, problems = folder.judged(known or Flows())
    named = {Path(file).name: [problem.message for problem in of] for file, of in problems.items() if of}
    return [f"{flow.name}@{flow.version}" for flow in flows], named


def test_files_are_read_once_and_again_when_they_change(tmp_path: Path) -> None:
    folder = FlowFolder(tmp_path)
    file = tmp_path / "order.yaml"
    file.write_text(FLOW_TEXT)

    assert folder.look()
    assert found(folder) == (["order@1"], {})
    assert not folder.look()
    file.write_text(FLOW_TEXT.replace("version: 1", "version: 2"))
    os.utime(file, ns=(1, 1))
    assert folder.look()
    assert found(folder) == (["order@2"], {})
    file.unlink()
    assert folder.look()
    assert found(folder) == ([], {})


def test_a_broken_file_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "order.yaml").write_text(FLOW_TEXT)
    (tmp_path / "broken.yaml").write_text("flow: [")
    (tmp_path / "latin.yml").write_bytes("flow: café".encode("latin-1"))
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("no flow")
    folder = FlowFolder(tmp_path)

    folder.look()
    flows, problems = found(folder)
    assert flows == ["order@1"]
    assert problems.keys() == {"broken.yaml", "latin.yml"}
    assert problems["latin.yml"] == ["the file is no UTF-8, from byte 9 on: save it as UTF-8"]


def test_files_that_contradict_each_other_or_the_cluster_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(FLOW_TEXT)
    (tmp_path / "b.yaml").write_text(FLOW_TEXT.replace("flow: order", "flow: shop"))
    (tmp_path / "c.yaml").write_text(FLOW_TEXT)
    folder = FlowFolder(tmp_path)
    folder.look()

    flows, problems = found(folder)
    assert flows == ["order@1"]
    assert problems.keys() == {"b.yaml", "c.yaml"}
    running = Flows(tuple(folder.judged(Flows())[0]))
    (tmp_path / "a.yaml").write_text(FLOW_TEXT.replace("5s", "6s"))
    folder.look()
    assert found(folder, running)[1]["a.yaml"] == [
        "order@1 says something else in this cluster: raise `version`"
    ]


def test_a_folder_that_is_not_there_is_a_problem_and_no_end(tmp_path: Path) -> None:
    folder = FlowFolder(tmp_path / "flows")

    assert folder.look()
    assert list(found(folder)[1]["flows"]) == [
        f"the folder of flow files can't be read: {tmp_path / 'flows'} is no folder"
    ]
    (tmp_path / "flows").mkdir()
    assert folder.look()
    assert found(folder) == ([], {})
