"""What the processes of test_sharded.py do under torchrun: `python -m torch.distributed.run sharded_work.py FOLDER`.

FOLDER/task.json says what. Each process leaves nothing; the first writes the results beside the task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from chidu.runs import RunConfig
from chidu.tokens import TokenFile
from chidu.training.ranks import Ranks
from chidu.training.sharded import ShardedTrainer, Thrift
from chidu.training.sharded_checkpoint import latest_sharded


def main(folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text())
    ranks = Ranks.of_torchrun()
    with ranks.meeting() as mesh:
        for part in task["parts"]:
            train_part(folder / part["name"], part, TokenFile.open(Path(task["tokens"])), ranks, mesh)


def train_part(folder: Path, part: dict[str, Any], tokens: TokenFile, ranks: Ranks, mesh: Any) -> None:
    """Train a config to step `stop`, going on from what the folder holds; save a checkpoint or the weights."""
    folder.mkdir(exist_ok=True)
    trainer = ShardedTrainer(RunConfig.from_dict(part["config"]), ranks, mesh, Thrift(**part.get("thrift", {})))
    newest, _ = latest_sharded(folder / "sharded.scratch", ranks)
    if newest is not None:
        trainer.load(newest)
    while trainer.step < part["stop"]:
        trainer.advance(tokens)
    if part.get("save"):
        trainer.save(folder / "sharded.scratch")
    whole = trainer.whole_weights()
    if ranks.rank == 0:
        save_file(whole, folder / "whole.safetensors")
        (folder / "result.json").write_text(json.dumps({"curve": trainer.curve, "from": str(newest)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
