"""`python -m train naturalworld COMMAND`: moving pictures from photographs, with exact truth, and what they measure."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from tqdm import tqdm

from tempo_core import command_line
from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from tempo_core.wording import plural

app = command_line.new_app(
    "naturalworld",
    "Clips of photographs and drawn everyday things, with exact truth.\n\nFirst `assets`; then `render` makes held-out "
    "sets, `edit` cuts events into real clips, `cuts` scores a model on the cuts of real clips, and `understood` on "
    "knowing what it does not know.",
)
Out = Annotated[Path, typer.Option(help="folder for videos and rows")]
AssetsFolder = Annotated[
    Path, typer.Option("--assets", metavar="DIR", help="what `naturalworld assets` made")
]
RealVideos = Annotated[Path, typer.Option("--videos", metavar="DIR", help="folder with the real clips")]
Clips = Annotated[int, typer.Option(min=1, max=100_000, help="number of clips")]
Seed = Annotated[int, typer.Option(min=0, max=10**6, help="another seed is another set")]
QuestionsPerClip = Annotated[int, typer.Option(min=1, max=20, help="questions a clip")]


@app.command("assets")
def make_assets(
    out: Annotated[Path, typer.Option(help="folder for photographs and pictures")],
    packages: Annotated[
        Path | None, typer.Option(metavar="DIR", help=".deb files to take instead of fetching them with apt")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch photographs and pictures of things from Debian packages, split them, and note their licences."""
    from train.naturalworld.assets import LICENCES, prepare_assets

    assets = prepare_assets(
        out, packages=packages, on_progress=lambda message: print(message, file=sys.stderr)
    )
    counts = {
        split: len(assets.photograph_indices((split,))) for split in ("train", "val", "test", "outside")
    }
    data = {
        "folder": str(out),
        "photographs": counts,
        "things": len(assets.concepts),
        "pictures": len(assets.pictures),
        "licences": LICENCES,
    }
    text = (
        f"{sum(counts.values())} photographs ({', '.join(f'{count} {split}' for split, count in counts.items())}) and "
        f"{len(assets.pictures)} pictures of {len(assets.concepts)} things: {out}. Authors and licences: {out}/licences"
    )
    show(data, text, as_json=as_json)


@app.command("render")
def render_set(
    out: Out,
    assets: AssetsFolder,
    clips: Clips = 200,
    queries: QuestionsPerClip = 5,
    split: Annotated[
        Literal["train", "val", "test", "outside"],
        typer.Option(help="whose photographs; outside: of packages that are for testing only"),
    ] = "test",
    questions: Annotated[
        Literal["all", "events", "footage", "things", "unseen-tints"],
        typer.Option(help="which kinds are asked"),
    ] = "all",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Render held-out clips into OUT/videos and their rows into OUT/rows.jsonl; a stopped run goes on."""
    from train.naturalworld.assets import read_assets
    from train.naturalworld.clips import NaturalSet, make_set

    plan = NaturalSet(clips=clips, queries=queries, split=split, questions=questions, seed=seed)
    _make(lambda report: make_set(plan, out, read_assets(assets), on_progress=report), out, clips, as_json)


@app.command("edit")
def edit_set(
    out: Out,
    assets: AssetsFolder,
    videos: RealVideos,
    clips: Clips = 100,
    queries: QuestionsPerClip = 4,
    questions: Annotated[
        Literal["events", "footage"], typer.Option(help="which of them are asked")
    ] = "events",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Cut events into real clips: OUT/videos and OUT/rows.jsonl."""
    from train.naturalworld.assets import read_assets
    from train.naturalworld.clips import MIXES
    from train.naturalworld.edited import make_edited_set, read_real_clips

    def make(report: Callable[[int, int], None]) -> Path:
        return make_edited_set(
            out,
            read_real_clips(videos),
            read_assets(assets),
            count=clips,
            queries=queries,
            mix=MIXES[questions],
            seed=seed,
            on_progress=report,
        )

    _make(make, out, clips, as_json)


@app.command("cuts")
def score_real_cuts(
    videos: RealVideos,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="the model (default: the shipped one)")
    ] = None,
    query: Annotated[str, typer.Option(help="how it is asked")] = "there is a cut",
    found: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='cuts of another detector instead, as JSON {"name": [seconds, …]}'),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the cuts that a model finds in real clips against hand-made ones, within one sampling step."""
    from tempo_core.engine import load_engine, sample_for
    from train.naturalworld.edited import REAL_CLIPS, score_cuts

    paths = {path.stem: path for path in sorted(videos.iterdir()) if path.stem in REAL_CLIPS}
    if not paths:
        raise InputError(f"{videos} holds none of the real clips {', '.join(sorted(REAL_CLIPS))}.")
    truth = {name: REAL_CLIPS[name]["cuts_s"] for name in paths}
    cuts: dict[str, list[float]] = {}
    if found is not None:
        cuts = {name: times for name, times in json.loads(found.read_text()).items() if name in paths}
    else:
        engine = load_engine(checkpoint)
        for name, path in paths.items():
            context = engine.encode(sample_for(engine.defaults, path, protocol=engine.protocol))
            answer = engine.ask(context, query, n_best=0)
            if not answer.is_understood and answer.understood is not None:
                raise InputError(f"{engine.model_id} cannot be asked for cuts. {answer.understood.sentence}")
            cuts[name] = [moment.start_s for moment in answer.moments]
    scores = score_cuts(truth, cuts, tolerance_s=1.0)
    text = (
        f"F1 {scores['f1']:.2f} (precision {scores['precision']:.2f}, recall {scores['recall']:.2f}): "
        f"{scores['found']:.0f} cuts for {scores['true']:.0f}"
    )
    show({**scores, "cuts": cuts}, text, as_json=as_json)


@app.command("understood")
def score_understanding(
    known: Annotated[
        list[Path], typer.Option(metavar="ROWS.jsonl", help="questions of the model's own world")
    ],
    unknown: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="ROWS.jsonl", help="questions outside it, such as QVHighlights'; everyday ones are added"
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(metavar="DIR", help="the model (default: the shipped one)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score how well a model knows which questions it does not know: F1 of "I do not know what that is"."""
    from tempo_core.checkpoint import find_checkpoint
    from tempo_core.commands.predict import read_rows
    from tempo_core.vocabulary import read_vocabulary
    from train.naturalworld.edited import everyday_questions

    vocabulary = read_vocabulary(find_checkpoint(checkpoint))
    if vocabulary is None:
        raise InputError(
            "This checkpoint does not name the words it was taught, so it never says that it does not know."
        )
    own = [row for path in known for row in read_rows(path)]
    outside = {"everyday questions": everyday_questions()}
    outside |= {path.name: [row["query"] for row in read_rows(path)] for path in unknown or ()}
    outside["known files, other words"] = [row["query"] for row in own if row.get("negative") == "unknown"]
    questions = [row["query"] for row in own if row.get("negative") != "unknown"]
    wrong = [query for query in questions if not vocabulary.understanding(query).is_understood]
    scores: dict[str, Any] = {"known": len(questions), "known_but_declined": len(wrong), "sets": {}}
    lines = [f"{len(wrong)} of {len(questions)} questions of its own world are declined"]
    for name, queries in outside.items():
        hits = sum(not vocabulary.understanding(query).is_understood for query in queries)
        if queries:
            f1 = 2 * hits / (hits + len(wrong) + len(queries))
            scores["sets"][name] = {"questions": len(queries), "declined": hits, "f1": f1}
            lines.append(f"{name}: {hits} of {len(queries)} are declined, F1 {f1:.4f}")
    show(scores, "\n".join(lines), as_json=as_json)


def _make(make: Callable[[Callable[[int, int], None]], Path], out: Path, clips: int, as_json: bool) -> None:
    """Make a set under a progress bar and say where it is."""
    with tqdm(total=clips, unit="clip", file=sys.stderr, disable=as_json) as bar:
        rows = make(lambda count, _: bar.update(count - bar.n))
    count = sum(1 for _ in rows.open())
    data: dict[str, Any] = {
        "rows": str(rows),
        "videos": str(out / "videos"),
        "clips": clips,
        "queries": count,
    }
    show(data, f"{plural(count, 'question')} about {plural(clips, 'clip')}: {rows}", as_json=as_json)
