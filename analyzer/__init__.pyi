"""The public names, each with its home: the one list of them. `__init__.py` reads it too."""

from analyzer.api.asking import devices as devices
from analyzer.api.asking import doctor as doctor
from analyzer.api.asking import explain as explain
from analyzer.api.asking import fit as fit
from analyzer.api.asking import report as report
from analyzer.api.compressing import Advised as Advised
from analyzer.api.compressing import advise as advise
from analyzer.api.compressing import compress as compress
from analyzer.api.counters import witnesses as witnesses
from analyzer.api.exporting import export as export
from analyzer.api.images import check_data as check_data
from analyzer.api.measuring import Measured as Measured
from analyzer.api.measuring import calibrate as calibrate
from analyzer.api.measuring import measure as measure
from analyzer.api.measuring import predict_memory as predict_memory
from analyzer.api.searching import Search as Search
from analyzer.api.searching import search as search
from analyzer.api.sweeping import Sweep as Sweep
from analyzer.api.sweeping import sweep as sweep
from analyzer.api.tables import Comparison as Comparison
from analyzer.api.tables import build as build
from analyzer.api.tables import compare as compare
from analyzer.api.tables import frame as frame
from analyzer.api.training import ComparedRuns as ComparedRuns
from analyzer.api.training import Runs as Runs
from analyzer.api.training import train as train
from analyzer.architecture.network import PRESETS as PRESETS
from analyzer.architecture.variant import Variant as Variant
from analyzer.budget.check import check as check
from analyzer.budget.history import history as history
from analyzer.budget.relock import lock as lock
from analyzer.budget.verdict import Verdict as Verdict
from analyzer.compressing.budgets import Budget as Budget
from analyzer.compressing.result import Compressed as Compressed
from analyzer.errors import AnalyzerError as AnalyzerError
from analyzer.exporting.results import Exported as Exported
from analyzer.images.check import DataCheck as DataCheck
from analyzer.records import Record as Record
from analyzer.space.grid import Grid as Grid
from analyzer.space.space import Space as Space
from analyzer.targets.analysis import analyze as analyze
from analyzer.targets.inputs import Shape as Shape

__all__: list[str]
