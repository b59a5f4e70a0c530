"""Exporting ratings: which, in which format, under which names; and datasets frozen for good."""

import io
import tempfile
import zipfile
from datetime import date, timedelta
from pathlib import Path

import streamlit as st

from core.exporters import exporter
from core.exporters.selection import Selection
from db.datasets import Datasets, DatasetVersion
from pages.parts.clock import midnight, shown
from pages.parts.context import context
from pages.parts.errors import callback

FORMATS = {
    "arena": "Arena: both conversations and the outcome, reads back whole",
    "dpo": "DPO: prompt, chosen, rejected",
    "rankings": "Rankings: the LLMs of each person and query, best first",
    "ratings": "Flat table: one rating a row, also as CSV",
    "edges": "Graph edges: what the network is trained on, without texts",
}
TIES = {"drop": "Leave ties out", "both": "Write ties both ways, at half the weight"}
NOW, ALL_TASKS = "As it is now", "All tasks"


def show_export(tasks: tuple[str, ...], person: str) -> None:
    """Choose and download: a zip of the file and its data card."""
    versions = Datasets(context().database).versions()
    by_label = {_label(version): version for version in versions}
    left, right = st.columns(2)
    chosen = left.selectbox("Format", list(FORMATS), key="data.export.format", format_func=FORMATS.__getitem__)
    suffix = right.selectbox("File type", exporter(chosen).SUFFIXES, key=f"data.export.type.{chosen}")
    dataset = left.selectbox("Dataset", [NOW, *by_label], key="data.export.dataset")
    version = by_label.get(dataset)
    selection = version.selection if version else _show_filters(tasks)
    ties = "drop"
    if chosen == "dpo":
        ties = right.selectbox("Ties", list(TIES), key="data.export.ties", format_func=TIES.__getitem__)
    keep = st.toggle(
        "Keep people's names", key="data.export.names",
        help="Otherwise people stand under pseudonyms, the same in every export. Simulated users keep their names.",
    )  # fmt: skip
    name = f"prefroute-{chosen}"
    st.download_button(
        "Download", lambda: _zipped(f"{name}{suffix}", chosen, selection, version, keep, ties), f"{name}.zip",
        "application/zip", key="data.export.download", on_click="ignore", type="primary",
    )  # fmt: skip
    st.caption("A zip of the file and its data card: schema version, filter, counts, checksum, what the columns mean.")
    _show_frozen(versions, selection if not version else Selection(), person)


def _show_filters(tasks: tuple[str, ...]) -> Selection:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        task = st.selectbox("Task", [ALL_TASKS, *tasks], key="data.export.task", width=240)
        since: date | None = st.date_input("From", None, key="data.export.since", width=160)
        until: date | None = st.date_input("To, with this day", None, key="data.export.until", width=160)
    simulated = st.toggle("With simulated users", value=True, key="data.export.simulated")
    if since and until and since > until:
        since, until = until, since
        st.caption("The two dates were the wrong way round and were exchanged.")
    if since or until:
        st.caption("Ratings of unknown time are left out.")
    return Selection(
        None if task == ALL_TASKS else task, simulated, midnight(since) if since else None,
        midnight(until + timedelta(days=1)) if until else None,
    )  # fmt: skip


def _zipped(
    name: str, format: str, selection: Selection, version: DatasetVersion | None, keep: bool, ties: str
) -> io.BytesIO:  # fmt: skip
    data = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="prefroute-export-") as folder:
        path = Path(folder) / name
        Datasets(context().database).export(
            path, format, selection, version=version.id if version else None, keep_names=keep, ties=ties
        )  # fmt: skip
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(Path(folder).iterdir()):
                packed.write(file, file.name)
    data.seek(0)
    return data


def _show_frozen(versions: list[DatasetVersion], selection: Selection, person: str) -> None:
    with st.expander(f"Frozen datasets ({len(versions)})"):
        st.caption("A frozen dataset stays what it was; every training refers to one by its fingerprint.")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input("Name", key="data.freeze.name", max_chars=120, placeholder="For example: before the workshop")
            st.button("Freeze what is chosen above", key="data.freeze", on_click=_freeze, args=(selection, person))
        for version in versions:
            st.markdown(
                f"**{version.id}** · {version.ratings:,} ratings · fingerprint `{version.fingerprint[:12]}` · "
                f"{shown(version.created_at)}"
            )
            st.text(version.name)


@callback
def _freeze(selection: Selection, person: str) -> None:
    Datasets(context().database).freeze(st.session_state.get("data.freeze.name", ""), selection, by=person)
    st.session_state["data.freeze.name"] = ""


def _label(version: DatasetVersion) -> str:
    return f"{version.id}: {version.name} ({version.ratings:,} ratings)"
