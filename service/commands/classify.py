"""`odeserve classify`: what is on some pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.commands import options
from service.commands.asking import Asking, asks
from service.commands.ending import ExitCode
from service.commands.examples import examples
from service.commands.files import Kind, argument, read_file
from service.commands.writing import Out, check_out, write_out

EPILOG = examples(
    "odeserve classify examples/pictures/7.png",
    "odeserve classify --tol auto examples/pictures/7.png examples/pictures/4.jpg examples/digits/3.json",
    "odeserve classify --tol 1e-5 --method dopri5 --json - < examples/digits/7.json",
    "odeserve classify --local --out labels.csv examples/digits/7.json",
)
Files = Annotated[list[Path], argument("PNG, JPEG, .npy with an image or several, or a JSON body of /classify")]


@asks(tol=options.AutoTol)
def classify(
    files: Files,
    *,
    asking: Asking,
    out: Out = None,
) -> None:
    """Classify pictures: label, probabilities, and what each answer cost.

    A request for each FILE. One that is refused does not keep the others from being asked; the exit code is then 1.
    """
    check_out(out, ".csv", ".npy", ".json")
    inputs = [read_file(path, Kind.PNG, Kind.JPEG, Kind.NPY, Kind.JSON) for path in files]
    from service.commands import labels
    from service.commands.client import RefusedError, tell
    from service.commands.console import counting, show

    query = asking.query
    answers: list[tuple[str, Any]] = []
    refused: RefusedError | None = None
    with (
        asking.connected("classify") as server,
        counting("classifying", len(inputs)) as done,
    ):
        for number, file in enumerate(inputs, 1):
            try:
                answer = server.post("/classify", query, file.content, file.kind)
            except RefusedError as error:
                if error.of_all:
                    raise
                tell(error, as_json=asking.as_json, about=file.name)
                refused = error
            else:
                answers.append((file.name, answer.document))
                if asking.as_json:
                    typer.echo(answer.content)
            done(number)
    if not asking.as_json:
        show(*labels.shown(answers))
    if answers:
        write_out(out, labels.results(answers))
    if refused or any(item["status"] != "ok" for _, item, _ in labels.items(answers)):
        raise typer.Exit(ExitCode.FAILED)
