"""`python -m train experiment NAME`: the experiments of docs/experiments.md, each resumable and reproducible."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from tempo_core import command_line
from tempo_core.command_line import AsJson, show
from tempo_core.errors import InputError
from train.commands import options

ScenarioName = Literal["stages", "few-1", "few-5", "noisy", "hard", "transfer"]
SCENARIO_NAMES = get_args(ScenarioName)
"""Of train.experiments.scenarios, which the command line is not to load."""

app = command_line.new_app(
    "experiment",
    "Repeat an experiment.\n\nOne of those of docs/experiments.md; figures go to OUT as JSON.",
)
Out = Annotated[Path, typer.Option(help="folder for everything; the same one goes on")]
Seeds = Annotated[str, typer.Option(help="seeds, separated by commas")]


def _add_ablation(name: str, about: str, start_help: str) -> None:
    def ablation(
        start: Annotated[Path, typer.Option(help=f"folder of {start_help}")],
        out: Out,
        seeds: Seeds = "0,1,2",
        clips: Annotated[int, typer.Option(help="held-out clips of five questions each")] = 200,
        steps: Annotated[
            int | None, typer.Option(help="training steps of each arm (default: the experiment's own)")
        ] = None,
    ) -> None:
        from train.experiments.ablation import ABLATIONS, UNTRAINED, run_ablation

        summary = run_ablation(
            ABLATIONS[name],
            start,
            out,
            seeds=_numbers(seeds),
            clips=clips,
            steps=steps,
            on_progress=_print_progress,
        )
        for stage in ("trained", UNTRAINED):
            for tier, table in summary.get(stage, {}).items():
                print(f"{tier}, {stage}:")
                for arm, values in table.pop("arms").items():
                    print(f"  {arm:12s}{_spreads_text(values)}")
                for title, pairs in table.items():
                    for pair, gaps in pairs.items():
                        print(f"  {title}: {pair}: {_gains_text(gaps)}")

    app.command(name, help=f"{about}.")(ablation)


_RUN = "a finished `sft --recipe` run"
_add_ablation("allocation", "SAA against uniform, random and shifted allocation at equal budget", _RUN)
_add_ablation(
    "stamps",
    "ETA against unpadded stamps, stamps given once, and none",
    f"{_RUN}, or a checkpoint such as tempo_core/checkpoints/tempo-tiny: its vision tower is used",
)


@app.command()
def loop(
    out: Out,
    checkpoint: options.Checkpoint = None,
    seeds: Seeds = "0",
    clips: Annotated[int, typer.Option(help="clips with damaged labels, six questions each")] = 24,
    held_out_clips: Annotated[int, typer.Option(help="clean clips")] = 40,
    batches: Annotated[int, typer.Option(help="refreshes")] = 4,
    batch_rows: Annotated[int, typer.Option(help="corrections before each")] = 24,
    orders: Annotated[
        str, typer.Option(help="which orders, separated by commas; none is the control without corrections")
    ] = "suspicion,gain,random,none",
    refresh: Annotated[
        Literal["chained", "from-start", "none"],
        typer.Option(
            help="from-start: each learns the corrections so far alone; none: count the wrong rows met"
        ),
    ] = "chained",
    pir: Annotated[
        bool, typer.Option("--pir", help="PIR-GRPO after SFT in every refresh, as the recipe has it")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Damaged labels, corrected through the store in several orders, a refresh after each batch.

    Orders are suspicion, expected gain and random.
    """
    from train.experiments.loop import MEASURES, LoopPlan, run_loop
    from train.recipes import tempo_tiny_refresh

    stage = tempo_tiny_refresh().pir if pir else None
    plan = LoopPlan(
        clips=clips,
        held_out_clips=held_out_clips,
        batches=batches,
        batch_rows=batch_rows,
        pir=None if stage is None else replace(stage, threads=1),
        refresh=refresh,
    )
    result = run_loop(
        plan,
        out,
        seeds=_numbers(seeds),
        checkpoint=checkpoint,
        orders=[order.strip() for order in orders.split(",")],
        on_progress=_print_progress,
    )
    lines = []
    for point in result["points"]:
        measures = "  ".join(f"{name} {point[name]:.3f}" for name in MEASURES if point[name] is not None)
        lines.append(
            f"seed {point['seed']}  {point['order']:10s} {point['corrections']:5d} corrections  "
            f"{point['wrong_rows_met']:3d} wrong rows met  {measures}"
        )
    for step in result["differences"]:
        for pair, gaps in step.items():
            if pair != "corrections":
                lines.append(f"{step['corrections']:5d} corrections  {pair:18s} {_gains_text(gaps)}")
    lines.append(f"curve: {out / 'curve.html'}")
    data = {"points": result["points"], "differences": result["differences"]}
    show(data, "\n".join(lines), as_json=as_json)


@app.command()
def gains(
    scenario: Annotated[
        ScenarioName, typer.Argument(metavar="SCENARIO", help=f"one of {', '.join(SCENARIO_NAMES)}")
    ],
    start: Annotated[
        Path,
        typer.Option(
            help="folder of a finished `sft --recipe` run, or a checkpoint: its vision tower where the cold model's "
            "language model is made anew, else the cold model itself"
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="folder for cold starts, arms and figures; scenarios may share it")
    ],
    seeds: Seeds = "0,1,2",
    minutes: Annotated[float, typer.Option(help="processor minutes of every arm")] = 12.0,
    cold_steps: Annotated[
        int | None, typer.Option(help="steps of making the cold model (default: the scenario's own)")
    ] = None,
    clips: Annotated[
        int | None, typer.Option(help="held-out clips in every world (default: the scenario's own)")
    ] = None,
) -> None:
    """PIR-GRPO against the same minutes of further SFT, in one scenario."""
    from train.experiments.gains import Budget, run_scenario
    from train.experiments.scenarios import SCENARIOS
    from train.experiments.world import spread

    summary = run_scenario(
        SCENARIOS[scenario],
        start,
        out,
        Budget(minutes=minutes, held_out_clips=clips, cold_steps=cold_steps),
        seeds=_numbers(seeds),
        on_progress=_print_progress,
    )
    for world, arms in summary["arms"].items():
        print(f"{world}:")
        for arm, values in arms.items():
            spreads = {name: spread(by_seed) for name, by_seed in values.items()}
            print(f"  {arm:20s}{_spreads_text(spreads)}")
        for pair, gaps in summary["differences"][world].items():
            print(f"  {pair}: {_gains_text(gaps)}")


def _numbers(seeds: str) -> list[int]:
    numbers = [int(part) for part in seeds.split(",") if part.strip().isdigit()]
    if len(numbers) != seeds.count(",") + 1:
        raise InputError(
            f"--seeds takes whole numbers from 0 on separated by commas, such as 0,1,2; got {seeds!r}."
        )
    return numbers


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _spreads_text(spreads: Mapping[str, dict[str, float] | None]) -> str:
    return "  ".join(
        f"{name} -" if spread is None else f"{name} {spread['mean']:.3f}±{spread['sd']:.3f}"
        for name, spread in spreads.items()
    )


def _gains_text(gaps: Mapping[str, dict[str, Any]]) -> str:
    return "  ".join(
        f"{name} {gap['gain']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
        for name, gap in gaps.items()
        if gap["gain"] is not None
    )
