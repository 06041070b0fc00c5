"""odetrain: training, from the shell."""

import typer

from training.commands.baseline import baseline
from training.commands.calibrate import calibrate
from training.commands.cnf import cnf
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.odenet import odenet
from training.commands.pack import pack
from training.commands.report import report
from training.commands.study import study

EPILOG = """Examples:
  odetrain odenet --data digits --epochs 6 --channels 16 --batch-size 32 --learning-rate 0.01
  odetrain export runs/odenet-digits
  odetrain calibrate checkpoints/odenet-digits/1 --items 300
  odetrain export --single-file checkpoints/odenet-digits/1"""

app = typer.Typer(
    no_args_is_help=True, epilog=EPILOG, help="Train neural ODEs and make artifacts that odeserve serves."
)
for command in (odenet, baseline, cnf, export, calibrate, evaluate, study, report, pack):
    app.command()(command)
