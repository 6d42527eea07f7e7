"""Rules of published benchmarks: one module each, equal to its authors' evaluator, faults included.

`evaluate` in `report` scores a file by one of them, `compare_rules` in `comparison` by all, and says where they
disagree. `scripts/rules_fixtures.py` runs the authors' own code for the tests.
"""

from tempo_core.metrics.rules import na_vmr, omtg, qv_m2, ra_rft, soccer_gmr, timelens, unitime, vue_tr
from tempo_core.metrics.rules.base import Benchmark

BENCHMARKS = {
    "qv-m2": Benchmark(
        title="QV-M2",
        source="Zhuo-Cao/QV-M2, standalone_eval/eval.py, d5d40388",
        score=qv_m2.score,
        same_queries=True,
    ),
    "soccer-gmr": Benchmark(
        title="Soccer-GMR",
        source="dymm9977/generalized-moment-retrieval, eval/eval_main.py, 922515c4",
        score=soccer_gmr.score,
    ),
    "omtg": Benchmark(
        title="OMTG Bench",
        source="open-compass/VLMEvalKit, vlmeval/dataset/omtgbench.py, e8e78f05",
        score=omtg.score,
    ),
    "vue-tr": Benchmark(
        title="VUE-TR",
        source="bytedance/vidi, VUE_TR/qa_eval.py, fc30c870",
        score=vue_tr.score,
    ),
    "vue-tr-v2": Benchmark(
        title="VUE-TR-V2",
        source="bytedance/vidi, VUE_TR_V2/qa_eval.py, fc30c870",
        score=vue_tr.score_v2,
    ),
    "timelens": Benchmark(
        title="TimeLens-Bench",
        source="TencentARC/TimeLens, evaluation/compute_metrics.py, 5d90c067",
        score=timelens.score,
    ),
    "unitime": Benchmark(
        title="UniTime",
        source="Lzq5/UniTime, eval_metrics.py, d889a715",
        score=unitime.score,
    ),
    "na-vmr": Benchmark(
        title="NA-VMR",
        source="keflanagan/MomentofUntruth, UniVTG-NA/negative_aware_results.py, ac2adcdd",
        score=na_vmr.score,
    ),
    "ra-rft": Benchmark(
        title="RA-RFT, without its judge",
        source="JINSUBY/RA-RFT, evaluate.py, 8843cbb2",
        score=ra_rft.score,
    ),
}
"""Every benchmark by the name that `--rules` takes."""
