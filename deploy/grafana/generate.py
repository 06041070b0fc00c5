"""Write the dashboards: python deploy/grafana/generate.py [FOLDER, default dashboards/ beside this file].

They are made with grafana-foundation-sdk for Grafana 11.6; the JSON is committed, and a test compares the two.
"""

import sys
from pathlib import Path

from boards import models, solver, tradeoff, traffic
from grafana_foundation_sdk.cog.encoder import JSONEncoder

HERE = Path(__file__).parent
BOARDS = {
    "tradeoff.json": tradeoff.board,
    "service.json": traffic.board,
    "solver.json": solver.board,
    "models.json": models.board,
}


def main(folder: Path) -> None:
    for name, board in BOARDS.items():
        text = JSONEncoder(sort_keys=True, indent=2).encode(board().build())
        (folder / name).write_text(text + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dashboards")
