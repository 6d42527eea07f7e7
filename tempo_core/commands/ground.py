"""`python -m tempo_core ground`: when does this happen? Moments or a refusal, for one video and one query."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempo_core.command_line import AsJson, ProgressLine, clock, show
from tempo_core.commands import options
from tempo_core.errors import InputError
from tempo_core.wording import plural

if TYPE_CHECKING:
    from tempo_core.engine import Answer, VideoContext
    from tempo_core.library.contexts import ContextFiles


def ground(
    video: Annotated[str | None, typer.Argument(metavar="VIDEO", help="a video file")] = None,
    query: Annotated[
        str | None, typer.Argument(metavar="QUERY", help="what to look for, in a sentence")
    ] = None,
    checkpoint: options.Checkpoint = None,
    endpoint: options.Endpoint = None,
    adapter: options.Adapter = None,
    four_bit: options.FourBit = True,
    fps: options.Fps = None,
    token_budget: options.TokenBudget = None,
    allocator: options.Allocator = None,
    protocol: options.Protocol = None,
    scan: options.Scan = None,
    budget: options.Budget = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="print what memory the checkpoint needs for VIDEO, or for the clip with the largest context; ask "
            "nothing",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find every moment of a video that matches a query, or say that none does.

    A film, eight times as long as the model's context or longer, is scanned at a low rate, and looked at again where
    it matters. --scan and --budget ask for that at any length.

    Where TEMPO_HOME has a library (`index`), the encoded clip or the film's windows are kept there, and the next
    question begins with the answer.
    """
    if dry_run:  # the checkpoint may be a published model's bare name
        from tempo_core.backend import is_address
        from tempo_core.checkpoint import choose_adapter
        from tempo_core.loading import pick_device, planned_protocol
        from tempo_core.memory import plan, published_name, read_model_config
        from tempo_core.video import probe

        if is_address(options.model_named(checkpoint, endpoint)):
            raise InputError(
                "A model behind an endpoint takes its server's memory. Give a --checkpoint for a dry run."
            )
        # the promoted adapter is looked for by the checkpoint's weights, which nobody wants for a published name
        may_be_adapted = adapter is not None or published_name(checkpoint) is None
        config, defaults = read_model_config(checkpoint)
        memory_plan = plan(
            config,
            four_bit=four_bit,
            device=pick_device(None),
            defaults=defaults,
            protocol=planned_protocol(
                checkpoint,
                config.model_type,
                named=protocol,
                adapter=choose_adapter(checkpoint, adapter) if may_be_adapted else None,
            ),
            clip=None if video is None else probe(video),
            token_budget=token_budget,
            fps=fps,
        )
        show(memory_plan.to_dict(), memory_plan.describe(), as_json=as_json)
        return
    if video is None or query is None:
        raise InputError(
            "Give a video file and a query, for example: ground clip.mp4 'a red circle appears'."
        )
    from tempo_core import engine
    from tempo_core.films import frames_seen
    from tempo_core.library.contexts import EncodingSettings, StoredWindows, context_key
    from tempo_core.protocols.base import clean_query
    from tempo_core.video import probe

    clean_query(query)
    info = probe(video)  # what is wrong with the clip is said before a model is loaded
    progress_line = ProgressLine()
    loaded_engine: Any = options.open_engine(
        checkpoint, adapter, four_bit=four_bit, protocol=protocol, endpoint=endpoint
    )
    settings: dict[str, Any] = {"fps": fps, "token_budget": token_budget, "allocator": allocator}
    contexts, sha256 = stored_contexts(loaded_engine, Path(video))
    windows, key, context = None, "", None
    if contexts is not None:
        encoding = EncodingSettings(**settings)
        windows = StoredWindows(contexts, loaded_engine, sha256, encoding)
        key = context_key(loaded_engine, sha256, encoding)
        is_film = fps is None and loaded_engine.is_film(info.end_s)
        if not is_film and scan is None and budget is None:
            context = contexts.load(key, loaded_engine)
    try:
        if context is not None:
            answer = loaded_engine.ask(context, query)
        else:
            answer, context = engine.ground(
                loaded_engine,
                video,
                query,
                **settings,
                scan_step_s=scan,
                budget_frames=budget,
                window_store=windows,
                on_progress=progress_line,
            )
            if contexts is not None:
                contexts.save(key, context)
    finally:
        progress_line.clear()
    context = frames_seen(context, answer)
    frames = {"times_s": context.times_s.tolist(), "end_s": context.end_s, **context.allocation.to_dict()}
    protocol_data = {
        "name": loaded_engine.protocol.name,
        "reason": loaded_engine.choice.reason,
        "is_known": loaded_engine.choice.is_known,
    }
    data = {
        **answer.to_dict(),
        "video": video,
        "allocation": frames,
        "stamps": context.stamp_records,
        "protocol": protocol_data,
    }
    show(data, describe(answer, context), as_json=as_json)


def stored_contexts(engine: Any, video: Path) -> tuple["ContextFiles | None", str]:
    """The library's encoded clips and this one's sha256; None where there is no library, or for an endpoint."""
    from tempo_core.engine import Engine
    from tempo_core.library.contexts import ContextFiles
    from tempo_core.library.index import CONTEXTS, library_folder

    folder = library_folder() / CONTEXTS
    if not folder.is_dir() or not isinstance(engine, Engine):
        return None, ""
    with video.open("rb") as file:
        return ContextFiles(folder), hashlib.file_digest(file, "sha256").hexdigest()


def shipped_knowing(query: str) -> list[str]:
    """Names of the shipped models that were taught a question's words."""
    from tempo_core.checkpoint import SHIPPED_FOLDERS
    from tempo_core.vocabulary import read_vocabulary

    vocabularies = {name: read_vocabulary(folder) for name, folder in SHIPPED_FOLDERS.items()}
    return [
        name
        for name, vocabulary in vocabularies.items()
        if vocabulary is not None and vocabulary.understanding(query).is_understood
    ]


def describe(answer: "Answer", context: "VideoContext") -> str:
    """The answer as a small table for people."""
    lines = [answer.query]
    if answer.understood is not None and not answer.is_understood:
        lines.append(f"  {answer.understood.sentence}")
        lines += [
            f"  {name} was taught these words: --checkpoint {name}" for name in shipped_knowing(answer.query)
        ]
    if answer.refused:
        stated = "" if answer.relevance is None else f" (P(relevant) = {answer.relevance:.2f})"
        lines.append(f"  no moment of this video matches{stated}")
    for moment, confidence in zip(answer.moments, answer.confidences, strict=True):
        sure = "no confidence" if confidence is None else f"confidence {confidence:.2f}"
        lines.append(f"  {clock(moment.start_s):>9} to {clock(moment.end_s):>9}   {sure}")
    relevance = "no P(relevant)" if answer.relevance is None else f"P(relevant) {answer.relevance:.2f}"
    spent, frames = int(context.allocation.tokens.sum()), len(context.frame_times_s)
    seconds = sum(value for name, value in answer.timings.items() if name.endswith("_s"))
    lines.append(
        f"{relevance}; {plural(frames, 'frame')}, {plural(spent, 'token')} "
        f"({context.allocation.allocator}); {seconds:.1f} s; {answer.model_id}"
    )
    return "\n".join([*lines, *answer.notes])
