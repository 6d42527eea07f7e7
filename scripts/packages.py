"""What is installed beside our own code: licences, and the software bill of materials.

    python -m scripts.packages licences         # a line a package; exit code 1 where one is not on the list
    python -m scripts.packages sbom sbom.json   # CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/)

Both read the metadata of the packages in the running environment. A licence is what a package states in SPDX's terms
(PEP 639), else the term that stands for what its classifiers or its old `License` field say.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

OLD_NAMES = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python", "ISC"),
    *("LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
}
"""What may be used and passed on with a product under MIT: permissive ones, and MPL-2.0, which asks for the source of
its own files only."""
EXCEPTIONS = {
    "psycopg": ("LGPL-3.0-only", "an extra, loaded as it is"),
    "psycopg-binary": ("LGPL-3.0-only", "an extra, loaded as it is"),
    "krippendorff": ("GPL-3.0-or-later", "tests compare a figure with it; the product never imports it"),
}
"""Package → the one other licence that it may have, and why."""
OF_CUDA = re.compile(r"nvidia-.*|cuda-.*")
"""NVIDIA's own terms: they come with torch's CUDA build, which whoever has such a device chooses."""


def normal_name(name: str) -> str:
    """A package's name as indexes write it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(package: Distribution) -> str:
    """An SPDX expression, or "unknown"."""
    for stated in package.metadata.get_all("License-Expression") or ():
        return str(stated)
    old = "".join(package.metadata.get_all("License") or ()).strip()
    classifiers = [
        line.rsplit(" :: ", 1)[1]
        for line in package.metadata.get_all("Classifier") or []
        if line.startswith("License ::")
    ]
    if terms(old) and terms(old) <= ALLOWED:
        return old
    names = [OLD_NAMES[name] for name in (*classifiers, old) if name in OLD_NAMES]
    return names[0] if names else "unknown"


def terms(expression: str) -> set[str]:
    """The licences and exceptions that an SPDX expression names."""
    return set(re.split(r"[\s()]+", expression)) - {"", "AND", "OR", "WITH"}


def objection(name: str, licence: str) -> str | None:
    """Why a package may not be here, or None."""
    if terms(licence) <= ALLOWED or OF_CUDA.fullmatch(name):
        return None
    if (exception := EXCEPTIONS.get(name)) and exception[0] == licence:
        return None
    return (
        f"{name} has the licence {licence!r}, which is not on the list in scripts/packages.py. Read it, then add it "
        "there, or do without the package."
    )


def installed() -> dict[str, Distribution]:
    """The environment's packages by their normal names, sorted; ours is left out."""
    packages = {normal_name(package.metadata["Name"]): package for package in distributions()}
    packages.pop("tempo-studio", None)
    return dict(sorted(packages.items()))


def bill_of_materials(packages: dict[str, Distribution]) -> dict[str, Any]:
    """CycloneDX 1.6: each package with version, licence and package URL, and what each asks for."""
    references = {name: f"pkg:pypi/{name}@{package.version}" for name, package in packages.items()}
    components, dependencies = [], []
    for name, package in packages.items():
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": references[name],
            "name": name,
            "version": package.version,
            "purl": references[name],
        }
        licence = licence_of(package)
        if licence != "unknown":
            component["licenses"] = [{"expression": licence}]
        components.append(component)
        requirements = {
            normal_name(re.split(r"[\s\[(;<>=!~]", line, maxsplit=1)[0])
            for line in package.requires or []
            if "extra ==" not in line
        }
        needs = sorted(references[other] for other in requirements if other in references)
        dependencies.append({"ref": references[name], "dependsOn": needs})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "application", "bom-ref": "tempo-studio", "name": "tempo-studio"}},
        "components": components,
        "dependencies": dependencies,
    }


def main(arguments: list[str]) -> int:
    packages = installed()
    if arguments[:1] == ["licences"]:
        licences = {name: licence_of(package) for name, package in packages.items()}
        for name, licence in licences.items():
            print(f"{name:<28} {packages[name].version:<16} {licence}")
        objections = [line for name, licence in licences.items() if (line := objection(name, licence))]
        print("\n".join(objections), file=sys.stderr)
        return 1 if objections else 0
    if arguments[:1] == ["sbom"] and len(arguments) == 2:
        text = json.dumps(bill_of_materials(packages), indent=2)
        Path(arguments[1]).write_text(f"{text}\n", encoding="utf-8")
        print(f"{arguments[1]}: {len(packages)} packages")
        return 0
    print("Say `licences`, or `sbom FILE`.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
