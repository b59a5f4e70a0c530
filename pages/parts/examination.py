"""What an evaluation found, drawn: a verdict first, then every test with its n and interval."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from pages.parts.drawing import show_chart
from pages.parts.evaluation_charts import calibration_chart, call_chart, curve_chart, gain_chart, recall_chart

Report = Mapping[str, Any]


def show_examination(report: Report) -> None:
    """The whole report."""
    _show_verdict(report["personal"])
    _show_controls(report["controls"])
    _show_splits(report["splits"])
    left, right = st.columns(2)
    with left:
        _show_newcomers(report["newcomers"])
    with right:
        _show_new_llm(report["new_llm"])
    left, right = st.columns(2)
    with left:
        _show_calibration(report["calibration"])
    with right:
        _show_cost(report["cost"], report["picks"])
    _show_pairs(report["pairs"])
    _show_contamination(report["contamination"])


def _show_verdict(personal: Report) -> None:
    lift = personal["lift"]
    figures = f"knowing the person gains {lift['value']:.3f} in log-loss ({lift['low']:.3f} to {lift['high']:.3f})"
    grounds = f"{personal['ratings']:,} held-out ratings of {lift['users']:,} users, 95 % interval over users"
    if personal["separable"]:
        st.success(f"Personal and global routing are separable on these ratings: {figures}; {grounds}.")
    else:
        st.info(f"Personal and global routing are not separable on these ratings: {figures}; {grounds}.")


def _show_controls(controls: list[Report]) -> None:
    st.subheader("Controls")
    for column, control in zip(st.columns(len(controls)), controls, strict=True):
        interval = f" ({control['low']:.3f} to {control['high']:.3f})" if "low" in control else ""
        with column:
            draw = st.success if control["holds"] else st.error
            draw(f"**{'Holds' if control['holds'] else 'Fails'}**: {control['name']}")
            st.caption(f"Found {control['figure']:.3g}{interval}; expected: {control['expected']}.")


def _show_splits(splits: list[Report]) -> None:
    st.subheader("Gain over one ranking for all, by what was held out")
    rows = [
        {"split": split["what"], **_interval(split["gain"]), "accuracy": split["accuracy"]["value"],
         **({"mean_of_users": split["user_accuracy"]["value"]} if "user_accuracy" in split else {}),
         "ratings": split["ratings"], "users": split["gain"]["users"]}
        for split in splits if "gain" in split
    ]  # fmt: skip
    _draw(pd.DataFrame(rows), gain_chart, "splits", "Log-loss gain under each split")
    st.caption(
        "Of unseen users what they said first is known, and their later half is asked. The chart's figures, saved as "
        "CSV, tell the accuracy too: over all ratings, and as `mean_of_users` with each user counting once."
    )
    for split in splits:
        if "reason" in split:
            st.caption(f"{split['what']}: not measured ({split['reason']}).")


def _show_newcomers(found: Report) -> None:
    st.subheader("New users")
    if "reason" in found:
        st.caption(f"Not measured: {found['reason']}.")
        return
    rows = [
        {"split": f"after {point['known']} ratings", **_interval(point["gain"]),
         "accuracy": point["accuracy"]["value"], "ratings": point["ratings"], "users": point["gain"]["users"]}
        for point in found["points"]
    ]  # fmt: skip
    _draw(pd.DataFrame(rows), gain_chart, "newcomers", "Log-loss gain for new users by how much they have rated")
    st.caption("Users whom the fit never saw, always asked about the same later ratings of theirs.")


def _show_new_llm(found: Report) -> None:
    st.subheader("A new LLM")
    if "reason" in found:
        st.caption(f"Not measured: {found['reason']}.")
        return
    points = [*((f"{p['ratings']} comparisons", p) for p in found["points"]), ("all comparisons", found["full"])]
    rows = [
        {"known": name, **_interval(point["recall"]), "won": point["won"], "users": point["recall"]["users"],
         **({"accuracy": point["accuracy"]["value"]} if "accuracy" in point else {})}
        for name, point in points
    ]  # fmt: skip
    _draw(pd.DataFrame(rows), recall_chart, "new_llm", "Recall of a new LLM by how many comparisons of it are known")
    st.caption(f"{found['llm']}, left out of the fit: how often it is put first of the two where it won.")
    full = found["full"].get("accuracy")  # reports from before this was kept have none
    if full and found["points"]:
        first = found["points"][0]
        st.caption(
            f"Accuracy on all held-out ratings: {accuracy_of(first['accuracy'])} with {first['ratings']} comparisons "
            f"of it, {accuracy_of(full)} with all: {first['accuracy']['value'] / max(full['value'], 1e-9):.0%} of the "
            "full router's. Never choosing a new LLM can look good in that ratio, so the recall stands beside it."
        )


def _show_calibration(found: Report) -> None:
    st.subheader("Calibration")
    rows = [
        {"predicted": b["predicted"], "value": b["figure"], "low": b["low"], "high": b["high"], "ratings": b["ratings"],
         "users": b["users"]}
        for b in found["bins"]
    ]  # fmt: skip
    _draw(pd.DataFrame(rows), calibration_chart, "calibration", "How often the favoured side won, by its probability")
    st.caption(f"{found['ratings']:,} held-out ratings; expected calibration error {found['ece']:.3f}.")


def _show_cost(found: Report, picks: Report) -> None:
    st.subheader("Cost against quality")
    if "reason" in found:
        st.caption(f"Not measured: {found['reason']}.")
    else:
        named = (("router", found["curve"]), ("Zero router", found["zero"]))
        rows = [
            {"which": name, "cost": cost, "quality": quality}
            for name, curve in named
            for cost, quality in zip(curve["cost"], curve["quality"], strict=True)
        ]
        _draw(pd.DataFrame(rows), curve_chart, "cost", "Deferral curve and the Zero router's line")
        st.caption(
            f"{found['ratings']:,} held-out pairs, of which one response is taken: its share of wins against the "
            f"output price of its LLM. AIQ {found['aiq']:.3f}, without a router {found['aiq_zero']:.3f}."
        )
        if "area" in found:  # reports from before this was kept have none
            least = found["qnc"]
            neutral = "never reached" if least is None else f"{least:.2f}"
            st.caption(
                f"Deferral area {found['area']:.3f} (mean quality over all budgets). QNC {neutral}: the least spending "
                "that is as good as always the cheaper or always the dearer side, whichever is better, as a share of "
                "what that one costs."
            )
    value = picks["value_over_best"]
    best = "" if value is None else f"V_B {value:.3f} (above 1 it pays to route, against one ranking for all); "
    st.caption(f"{best}E_p {picks['entropy']:.2f} of at most {picks['most']:.2f} bits (0: everyone gets one LLM).")


def _show_pairs(pairs: list[Report]) -> None:
    st.subheader("A stronger and a weaker LLM")
    if not pairs:
        st.caption("No two LLMs have 20 held-out ratings between them yet.")
        return
    chosen = st.selectbox(
        "Pair", range(len(pairs)), format_func=lambda i: f"{pairs[i]['strong']} against {pairs[i]['weak']}",
        key="evaluation.pair",
    )  # fmt: skip
    pair = pairs[chosen or 0]
    rows = {"which": "router", "cost": pair["calls"], "quality": pair["quality"]}
    _draw(pd.DataFrame(rows), call_chart, "pair", "Share of calls to the stronger LLM against quality")
    least = {share: pair[f"cpt{share}"] for share in (50, 80)}
    said = [f"CPT({s} %) {'never' if c is None else f'{c:.0%} of calls'}" for s, c in least.items()]
    st.caption(f"APGR {pair['apgr']:.3f} (0.5 is random); {'; '.join(said)}; {pair['ratings']:,} held-out ratings.")


def _show_contamination(found: Report) -> None:
    st.subheader("Contamination")
    if found["close"]:
        st.warning(
            f"{found['close']:,} of {found['queries']:,} held-out queries are as good as the same as one that was "
            f"fitted on (cosine at least .95): {', '.join(found['examples'])}."
        )
    else:
        st.success(
            f"None of {found['queries']:,} held-out queries is as good as the same as one that was fitted on "
            f"(highest cosine {found['highest']:.2f}; the line is .95)."
        )


def accuracy_of(estimate: Report) -> str:
    """A share with its interval and what it rests on."""
    return f"{estimate['value']:.0%} ({estimate['low']:.0%} to {estimate['high']:.0%}, {estimate['users']:,} users)"


def _interval(estimate: Report) -> dict[str, float]:
    return {"value": estimate["value"], "low": estimate["low"], "high": estimate["high"]}


def _draw(rows: pd.DataFrame, chart: Any, name: str, alt_text: str) -> None:
    if rows.empty:
        st.caption("Nothing could be measured.")
        return
    drawn: alt.Chart = chart(rows)
    show_chart(drawn, rows, f"evaluation.{name}", alt_text=alt_text)
