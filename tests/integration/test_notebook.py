"""The notebook runs from top to bottom in a kernel of its own, inside Jupyter's event loop."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_notebook_runs_from_top_to_bottom(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": str(EXAMPLES)}},
        kernel_name="python3",
    )
    client.execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ())
    )
    assert "all-MiniLM-L6-v2 384" in printed
    best = printed.partition("bottle's label?")[2].partition("What did")[0]
    assert "bottle" in best.lower()
    assert "10 (10, 384)" in printed


def test_the_notebook_is_kept_without_results():
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 4
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
