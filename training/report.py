"""odetrain report: the page of tables and pictures, from the records of runs alone."""

from pathlib import Path
from typing import Any

from node_model.whole_file import write_whole
from training.records import read_records
from training.report_classifier import euler_steps, memory, table_one
from training.report_density import protein, toys
from training.report_figure_three import figure_three
from training.report_precision import precision
from training.report_serving import regularisers, served

Record = dict[str, Any]

INTRODUCTION = """# The paper, run again

Chen, Rubanova, Bettencourt & Duvenaud, "Neural Ordinary Differential Equations" (NeurIPS 2018), with this repository's
own solvers, adjoint and training loop. Every number and picture on this page is made by `odetrain report` from the
[records](#records) in `docs/runs`, each of which names the command and the seed of the training, and the date, the
machine and the commit of the measurement. One run each; intervals are 95 % (Wilson), of the test set's size alone.
Recipe and epoch were chosen on 5,000 held-back training images, the test set chose nothing.
"""

SECTIONS = (table_one, memory, figure_three, euler_steps, regularisers, served, precision, toys, protein)


def write_report(records: Path, page: Path) -> None:
    """Write the page and, beside it in a folder of its name, its pictures. A section without records is left out.

    Errors: ValueError for a file that is no record, or when there is none at all.
    """
    known = read_records(records)
    if not known:
        raise ValueError(f"{records}: holds no records; make some with odetrain study")
    pictures = page.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    sections = [section(known, pictures) for section in SECTIONS]
    write_whole(page, "\n".join([INTRODUCTION, *filter(None, sections), _sources(known)]).encode())


def _sources(records: dict[str, Record]) -> str:
    lines = ["## Records", "", "| run | command | date | commit |", "|---|---|---|---|"]
    for name, record in records.items():
        link = f"[{name}](runs/{name}.json)"
        lines.append(f"| {link} | `{record['command']}` | {record['date'][:10]} | {record['commit']} |")
    machines = sorted({record["machine"] for record in records.values()})
    return "\n".join([*lines, "", "Machines: " + "; ".join(machines) + ".", ""])
