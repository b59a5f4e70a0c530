"""Importing a file, step by step: choose, check, see what would happen, say yes, watch it being stored."""

import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.domain import LLMId
from core.errors import UnreadableFile
from core.importers import IMPORTERS, importer, proposed, recognised
from core.importers.tables import file_columns
from db.imports import Import, State, rejects_csv
from pages.parts.context import context
from pages.parts.errors import callback

TYPES = ["parquet", "jsonl", "gz", "json", "csv"]
FORMAT, MAIN, VALID = "data.format", "data.main", "data.valid_rows"
NOT_THERE = "(not in the file)"
CREATE = "Create it here"
POLL_SECONDS = 0.7
SHOWN_REJECTS, MAPPED_LLMS = 200, 30
COMPANIONS = frozenset({"queries", "llms", "responses"})


@dataclass
class Desk:
    """What one person has brought: the files in a folder of their own, and the import of one of them."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="prefroute-import-")))
    files: list[Path] = field(default_factory=list)
    job: Import | None = None
    round: int = 0  # a new one gives a new, empty uploader

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Forget the files and the import; what is stored stays."""
        if self.job:
            self.job.cancel()
            self.job.wait(10)
        for path in self.files:
            path.unlink(missing_ok=True)
        self.files, self.job, self.round = [], None, self.round + 1


@st.cache_resource(show_spinner=False)
def _desks() -> dict[str, Desk]:
    return {}


def desk_of(person: str) -> Desk:
    """The desk of a person; the same in every tab and after a reload, until the server ends."""
    return _desks().setdefault(person, Desk())


def show_import(person: str) -> None:
    """The step that this person's import has come to."""
    desk = desk_of(person)
    if desk.job is None:
        _show_choice(desk, person)
    elif desk.job.state.busy:
        _show_progress(desk)
    elif desk.job.state.stage == "ready":
        _show_preview(desk, desk.job, desk.job.state)
    else:
        _show_end(desk, desk.job, desk.job.state)


def _keep(desk: Desk, uploads: Sequence[UploadedFile]) -> None:
    kept: list[Path] = []
    for upload in uploads:
        name = re.sub(r"[^\w. -]", "_", Path(upload.name).name)[-100:].lstrip(".") or "file"
        path = desk.folder / name
        if not path.exists() or path.stat().st_size != upload.size:
            path.write_bytes(upload.getbuffer())
        kept.append(path)
    for path in desk.files:
        if path not in kept:
            path.unlink(missing_ok=True)
    desk.files = kept


def _show_choice(desk: Desk, person: str) -> None:
    uploads = st.file_uploader(
        "File to import", TYPES, accept_multiple_files=True, key=f"data.upload.{desk.round}",
        help="Parquet, JSONL (also gzipped), JSON or CSV, in UTF-8. A set of several files goes in together.",
    )  # fmt: skip
    _keep(desk, uploads)
    if not desk.files:
        _show_templates()
        return
    mains = [path for path in desk.files if path.name.split(".")[0] not in COMPANIONS] or desk.files
    main = mains[0]
    if len(mains) > 1:
        main = next(
            path for path in mains
            if path.name == st.selectbox("Which of them?", [path.name for path in mains], key=MAIN)
        )  # fmt: skip
    try:
        columns = file_columns(main)
    except UnreadableFile as error:
        st.error(str(error))
        return
    _show_columns(desk, main, columns, person)


def _show_columns(desk: Desk, main: Path, columns: frozenset[str], person: str) -> None:
    try:
        found = recognised(main)
        st.markdown(f"Recognised as **{found.format}**: {importer(found.format).ABOUT}.")
    except UnreadableFile as error:
        found = None
        st.warning(f"{error} Choose what it is and say which column is which.")
    names = list(IMPORTERS)
    default = names.index(found.format) if found else None
    chosen = st.selectbox(
        "Format", names, default, key=f"{FORMAT}.{desk.round}.{main.name}",
        format_func=lambda name: f"{name}: {importer(name).ABOUT}", placeholder="Choose a format",
    )  # fmt: skip
    if chosen is None:
        return
    module, guess = importer(chosen), proposed(chosen, columns)
    mapping: dict[str, str] = {}
    missing = module.REQUIRED - columns
    with st.expander("Columns", expanded=bool(missing)):
        st.caption("Which column of the file stands for each column of the format. Needed ones come first.")
        for name in sorted(module.REQUIRED) + sorted(module.OPTIONAL):
            there = guess.get(name, name if name in columns else NOT_THERE)
            options = [NOT_THERE, *sorted(columns)]
            said = st.selectbox(
                name if name in module.OPTIONAL else f"{name} (needed)", options, options.index(there),
                key=f"data.column.{desk.round}.{main.name}.{chosen}.{name}",
            )  # fmt: skip
            if said not in (NOT_THERE, name):
                mapping[name] = said
    lacking = sorted(name for name in missing if name not in mapping)
    st.button(
        "Check the file", key="data.check", type="primary", on_click=_check, args=(desk, main, chosen, mapping, person),
        disabled=bool(lacking), help=f"Needed first: {', '.join(lacking)}" if lacking else None,
    )  # fmt: skip
    st.caption("Checking stores nothing.")


@callback
def _check(desk: Desk, main: Path, chosen: str, mapping: dict[str, str], person: str) -> None:
    job = Import(context().store, main, chosen, mapping, person)
    job.start()
    desk.job = job
    job.wait(0.3)  # a small file needs no progress bar


def _show_templates() -> None:
    with st.expander("Template files"):
        st.caption("Small files to start from. Every other format above is read as its makers write it.")
        with st.container(horizontal=True):
            for name in IMPORTERS:
                template = importer(name).TEMPLATE
                if template:
                    st.download_button(
                        template[0], template[1].encode(), template[0], key=f"data.template.{name}", on_click="ignore"
                    )


@st.fragment(run_every=POLL_SECONDS)
def _show_progress(desk: Desk) -> None:
    job = desk.job
    if job is None or not job.state.busy:
        st.rerun()
    state = job.state
    if state.stage == "reading":
        st.progress(0.0, text=f"Reading {job.path.name}: {state.done:,} rows so far. Nothing is stored yet.")
    else:
        share = min(state.done / state.total, 1.0) if state.total else 0.0
        st.progress(share, text=f"Storing {state.done:,} of {state.total:,} rows, all or none of them")
    st.button("Cancel", key="data.cancel", on_click=_cancel, args=(desk,))


@callback
def _cancel(desk: Desk) -> None:
    if desk.job:
        desk.job.cancel()
        desk.job.wait(5)


@callback
def _clear(desk: Desk) -> None:
    desk.clear()
    for key in [key for key in st.session_state if str(key).startswith("data.llm.")] + [VALID]:
        st.session_state.pop(key, None)


def _show_preview(desk: Desk, job: Import, state: State) -> None:
    preview = state.preview
    assert preview is not None  # it is ready  # noqa: S101
    st.markdown(f"**{job.path.name}** as {job.format}. Nothing is stored yet.")
    st.markdown(
        f"### {preview.ready:,} ready · {preview.already:,} already here · {preview.rejected:,} rejected",
        width="stretch",
    )
    st.caption(
        f"Counted are {preview.kind}. New with them: {preview.users:,} users, {preview.queries:,} queries, "
        f"{preview.responses:,} responses, {len(preview.llms):,} LLMs."
    )
    for finding in state.findings:
        example = f" For example: “{_plain(finding.example)}”" if finding.example.strip() else ""
        st.warning(finding.sentence + example)
    for warning in state.warnings:
        st.caption(f"Note: {warning}")
    _show_rejects(state)
    names = _show_llms(preview.llms)
    allowed = not state.rejected or st.checkbox(
        f"Import valid rows only, without the {preview.rejected:,} rejected", key=VALID
    )
    with st.container(horizontal=True):
        new = preview.ready or preview.responses or preview.queries or preview.llms
        st.button(
            f"Import {preview.ready:,} {preview.kind}", key="data.confirm", type="primary", on_click=_confirm,
            args=(job, names), disabled=not allowed or not new,
            help=None if allowed and new else "Nothing in it is new." if allowed else "Mend the file, or tick the box.",
        )  # fmt: skip
        st.button("Discard", key="data.discard", on_click=_clear, args=(desk,))


def _show_rejects(state: State) -> None:
    if not state.rejected:
        return
    table = pd.DataFrame([(r.row, r.reason) for r in state.rejected[:SHOWN_REJECTS]], columns=["Row", "Reason"])
    st.dataframe(table, hide_index=True, alt="Rejected rows and their reasons")
    st.download_button(
        "Download rejected rows (CSV)", rejects_csv(state.rejected), "rejected.csv", "text/csv", on_click="ignore",
        key="data.rejects",
    )  # fmt: skip


def _show_llms(new: tuple[LLMId, ...]) -> dict[LLMId, LLMId]:
    """What the person says about LLMs that are not here: create them, or they are one that is."""
    here = [llm.llm_id for llm in context().store.llms()]
    if not new or not here:
        return {}
    names: dict[LLMId, LLMId] = {}
    with st.expander(f"{len(new):,} LLMs of this file are not here yet"):
        st.caption("Create each of them, or say which LLM here it is.")
        for llm in new[:MAPPED_LLMS]:
            said = st.selectbox(_plain(llm), [CREATE, *here], key=f"data.llm.{llm}")
            if said != CREATE:
                names[llm] = LLMId(said)
        if len(new) > MAPPED_LLMS:
            st.caption(f"And {len(new) - MAPPED_LLMS:,} more, which will be created.")
    return names


@callback
def _confirm(job: Import, names: dict[LLMId, LLMId]) -> None:
    job.confirm(valid_rows=bool(st.session_state.get(VALID)), names=names)
    job.wait(0.3)


def _show_end(desk: Desk, job: Import, state: State) -> None:
    report = state.report
    if report:
        st.success(
            f"{job.path.name} is in: {report.added:,} ratings added, {report.skipped:,} were here already, "
            f"{report.rejected:,} rejected."
        )
        st.caption(
            f"Now here: {report.comparisons:,} ratings, {report.users:,} users, {report.llms:,} LLMs, "
            f"{report.queries:,} queries."
        )
    elif state.stage == "cancelled":
        st.info("Cancelled. Nothing was stored.")
    else:
        st.error(state.error)
    st.button("Import another file", key="data.again", on_click=_clear, args=(desk,))


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]()#+\-.!:$<>~|@])", r"\\\1", text)
