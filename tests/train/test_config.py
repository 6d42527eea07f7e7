"""Configurations on disk: their words are those of the runs and adapters that there are."""

from train.config import PirGrpoConfig, RefreshConfig, SftConfig, as_dict
from train.data.negatives import NegativeShares

SHARED = {
    "seed": 0,
    "method": "lora",
    "train_vision": False,
    "rank": 16,
    "alpha": 32,
    "warmup_share": 0.05,
    "weight_decay": 0.0,
    "max_grad_norm": 1.0,
    "gradient_checkpointing": False,
    "thinking": False,
    "token_budget": None,
    "record_every": 5,
    "threads": None,
}
SFT = {
    **SHARED,
    "name": "sft",
    "learning_rate": 1e-4,
    "steps": None,
    "epochs": 1.0,
    "questions": 8,
    "rows": 4,
    "batch_tokens": 16384,
    "accumulate": 1,
    "save_every": 50,
}
PIR = {
    **SHARED,
    "name": "pir-grpo",
    "learning_rate": 2e-5,
    "steps": 200,
    "groups": 8,
    "rollouts": 8,
    "temperature": 1.0,
    "constrained": True,
    "show_refusals": "never",
    "max_new_tokens": 256,
    "rewards": {
        "parse": 1.0,
        "format": 0.0,
        "tiou": 0.8,
        "shape": 0.2,
        "boundary": False,
        "refusal": 1.0,
        "over_refusal": 0.0,
    },
    "loss": "dr_grpo",
    "constant": 8.0,
    "beta": 0.0,
    "updates": 1,
    "clip": (0.2, 0.2),
    "drop_constant": True,
    "schedule": "cosine",
    "difficulty": None,
    "patience": None,
    "least_gain": 0.005,
    "save_every": 25,
}


def test_a_run_says_what_it_is_in_the_words_of_earlier_runs() -> None:
    """Other words would make a run that was stopped, or has ended, another run."""
    assert as_dict(SftConfig()) == SFT
    assert as_dict(PirGrpoConfig()) == PIR
    refresh = RefreshConfig(name="r", sft=SftConfig(), pir=PirGrpoConfig(), negatives=NegativeShares())
    assert as_dict(refresh) == {
        "name": "r",
        "seed": 0,
        "sft": SFT,
        "pir": PIR,
        "negatives": {
            "irrelevant": 0.5,
            "edited": 0.6,
            "same_video": 0.2,
            "shuffled": 0.2,
            "edits": (0.6, 0.3, 0.1),
            "unchecked_weight": 1.0,
        },
        "four_bit": True,
        "uncorrected": "leave",
        "original_weight": 0.5,
        "replay_share": 0.5,
        "least_replay_rows": 40,
        "held_out_share": 0.2,
        "world_clips": 24,
        "gate": {
            "measure": "ra_iou",
            "refusal": ("refused_f1", "relevant_f1"),
            "kept": ("ra_iou",),
            "tolerance": 0.02,
            "least_rows": 20,
            "least_clips": 8,
            "samples": 2000,
        },
    }
