"""The table of `make mutants` fits the code."""

import ast

from tests.mutants import ROOT, TESTS, load_mutants


def test_the_text_of_every_fault_occurs_exactly_once_in_its_file() -> None:
    mutants = load_mutants()
    assert mutants
    assert {mutant.name: mutant.occurrences() for mutant in mutants if mutant.occurrences() != 1} == {}
    assert [mutant.name for mutant in mutants if mutant.text == mutant.replacement] == []


def test_every_fault_leaves_valid_python() -> None:
    """Otherwise every test would notice it."""
    for mutant in load_mutants():
        changed = (ROOT / mutant.file).read_text().replace(mutant.text, mutant.replacement)
        ast.parse(changed, mutant.name)


def test_every_folder_of_tests_that_runs_exists() -> None:
    assert [folder for folder in TESTS if not (ROOT / folder).is_dir()] == []
