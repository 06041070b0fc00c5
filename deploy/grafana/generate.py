"""Write the dashboards: python deploy/grafana/generate.py [FOLDER, default dashboards/ beside this file].

They are made with grafana-foundation-sdk for Grafana 11.6; the JSON is committed, and a test compares the two.
"""

import json
import sys
from pathlib import Path

from boards import models, solver, tradeoff, traffic
from grafana_foundation_sdk.cog.encoder import JSONEncoder

OF_INTERVALS = ("auto", "auto_count", "auto_min")
"""Fields that the SDK gives to variables of every kind, and Grafana's own types only to intervals."""
HERE = Path(__file__).parent
BOARDS = {
    "tradeoff.json": tradeoff.board,
    "service.json": traffic.board,
    "solver.json": solver.board,
    "models.json": models.board,
}


def main(folder: Path) -> None:
    for name, board in BOARDS.items():
        found = json.loads(JSONEncoder().encode(board().build()))
        for variable in found["templating"]["list"]:
            for field in OF_INTERVALS:
                variable.pop(field)
        (folder / name).write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "dashboards")
