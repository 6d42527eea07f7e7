"""Photographs are split by what they show, before anything is drawn, and test ones stay out of training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tempo_core.errors import InputError
from train.naturalworld import batches
from train.naturalworld.assets import (
    LICENCES,
    OUTSIDE_PACKAGES,
    PACKAGES,
    PHOTOGRAPH_PACKAGES,
    Assets,
    prepare_assets,
    read_assets,
    split_of,
    subject_of,
)
from train.naturalworld.scene import sample_scene
from train.recipes import RECIPES
from train.scratch.tokenizer import build_tokenizer


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("usr/share/wallpapers/Kay/contents/images/5120x2880.png", "Kay"),
        ("usr/share/wallpapers/Kay/contents/images_dark/1080x1920.png", "Kay"),
        ("usr/share/backgrounds/gnome/wood-d.webp", "wood"),
        ("usr/share/backgrounds/gnome/wood-l.webp", "wood"),
        ("usr/share/backgrounds/mate/abstract/Elephants_3840x2160.jpg", "Elephants"),
        ("usr/share/backgrounds/sunset_by_Aitzol.jpg", "sunset_by_Aitzol"),
    ],
)
def test_sizes_and_lights_of_a_photograph_are_one_subject(path: str, subject: str) -> None:
    assert subject_of(path) == subject


def test_the_split_follows_from_the_name_alone() -> None:
    names = [f"photograph {number}" for number in range(2000)]
    counts = {split: [split_of(name) for name in names].count(split) for split in ("train", "val", "test")}
    assert sum(counts.values()) == len(names)
    assert 0.65 < counts["train"] / len(names) < 0.75
    assert [split_of(name) for name in names] == [split_of(name) for name in names]


def test_packages_for_testing_are_not_those_for_training_and_every_licence_is_listed() -> None:
    assert set(OUTSIDE_PACKAGES) == {"ukui-wallpapers", "lomiri-wallpapers-20.04"}
    assert not set(OUTSIDE_PACKAGES) & set(PHOTOGRAPH_PACKAGES)
    assert set(LICENCES) == set(PACKAGES)


def test_scenes_show_their_own_split_only(assets: Assets) -> None:
    for split in ("train", "val", "test", "outside"):
        allowed = set(assets.photograph_indices((split,)))  # type: ignore[arg-type]
        for seed in range(60):
            scene = sample_scene(seed, assets, (split,), ticks=12)  # type: ignore[arg-type]
            assert {scene.other, *(shot.photograph for shot in scene.shots)} <= allowed
            assert {assets.pictures[thing.picture].split for thing in scene.things} <= {"train"}


@pytest.mark.slow
def test_no_batch_opens_a_photograph_or_draws_a_picture_of_another_split(
    assets: Assets, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = replace(assets)  # nothing opened yet
    opened: set[int] = set()
    plain = Assets.open_photograph

    def record(self: Assets, idx: int) -> object:
        opened.add(idx)
        return plain(self, idx)

    monkeypatch.setattr(Assets, "open_photograph", record)
    mixture = replace(RECIPES["tempo-tiny-natural"]().phases[0].mixture, videos=3, questions=3)
    tokenizer = build_tokenizer(0)
    for step in range(4):
        batches.videos(step, seed=0, mixture=mixture, tokenizer=tokenizer, assets=fresh)
        batches.still_frames(step, seed=0, count=8, assets=fresh)
    assert opened
    assert {fresh.photographs[idx].split for idx in opened} == {"train"}


def test_assets_are_read_again_and_their_absence_is_said(assets: Assets, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"naturalworld assets --out"):
        read_assets(tmp_path)
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "gnome-backgrounds_1_all.deb").write_bytes(b"no archive")
    with pytest.raises(Exception, match="dpkg"):
        prepare_assets(tmp_path / "out", packages=packages)
    assert not (tmp_path / "out" / "assets.json").exists()
    assert np.array_equal(assets.pixels.shape, (12, 64, 64, 4))
