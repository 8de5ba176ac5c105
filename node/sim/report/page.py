"""The report of a run: one HTML file, with nothing in it that has to be fetched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from node.sim.running import Outcome
from node.sim.scenario import BadLines, Cheat, CrashOf, Eclipse, Event, Partition, Scenario, Skew

from .plots import Band, bars, lines, short
from .record import LayerRecord

STYLE = """
:root { color-scheme: light dark; --text: #1d2733; --soft: #5b6b7b; --line: #d5dbe2; --band: #d8743b22; --back: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6ebf0; --soft: #9aa7b4; --line: #33404d; --band: #d8743b33; --back: #11181f; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 980px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.good { color: #2c8a5a; } .bad { color: #c7435a; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; }
dt { color: var(--soft); } dd { margin: 0; }
figure { margin: .4rem 0 1.2rem; } svg { width: 100%; height: auto; }
svg.key { width: 30px; height: 10px; margin-right: .4em; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.grid { stroke: var(--line); } .band { fill: var(--band); }
figcaption { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .85rem; color: var(--soft); }
figcaption i { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: 2px; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } td.text { text-align: left; } code { font-size: .9em; }
"""


def page(outcome: Outcome, layers: Sequence[LayerRecord]) -> str:
    """The whole document."""
    scenario = outcome.scenario
    title = f"{scenario.name}, seed {outcome.seed}"
    bands = bands_of(scenario)
    topics = _topics(layers)
    sections = (
        _head(outcome),
        "<h2>Verified frontier</h2>",
        lines(
            {
                "the clock": [float(one.layer) for one in layers],
                "the furthest node": [float(one.verified[2]) for one in layers],
                "the middle one": [float(one.verified[1]) for one in layers],
                "the last one": [float(one.verified[0]) for one in layers],
            },
            bands,
        ),
        "<h2>Margins: counted votes, in times of what verifying the layer takes, a layer later</h2>",
        bars({"margin": [max(0.0, one.margin or 0.0) for one in layers]}, bands),
        "<h2>Hare: in which iteration the last node agreed</h2>",
        bars({"iteration": [float(one.iterations) for one in layers]}, bands),
        "<h2>Proposers</h2>",
        bars({"nodes with a proposal": [float(len(one.proposers)) for one in layers]}, bands),
        "<h2>Messages</h2>",
        bars({topic: [float(one.messages[topic]) for one in layers] for topic in topics}, bands),
        "<h2>Bytes</h2>",
        bars({topic: [float(one.bytes[topic]) for one in layers] for topic in topics}, bands),
        "<h2>Layer by layer</h2>",
        _table(layers[: outcome.layer]),
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{''.join(sections)}</body></html>\n"
    )


def bands_of(scenario: Scenario) -> list[Band]:
    """What goes wrong for a time, as bands of a plot."""
    found = []
    for event in scenario.events:
        match event:
            case Partition(begin, end):
                found.append(Band(begin, end, "partition"))
            case Eclipse(begin, end, node):
                found.append(Band(begin, end, f"eclipse of node {node}"))
            case BadLines(begin, end) if end - begin < scenario.layers:
                found.append(Band(begin, end, "bad lines"))
            case CrashOf(at, node, how):
                found.append(Band(at, at + 0.1, f"node {node} crashes ({how})"))
    return found


def describe(event: Event) -> str:
    """An event in words."""
    match event:
        case Partition(begin, end, shares):
            parts = " and ".join(f"{share:.0%}" for share in shares)
            return f"from layer {begin:g} to {end:g} the network is apart, in parts of {parts}"
        case Eclipse(begin, end, node, peers):
            reach = f"only the nodes {', '.join(map(str, peers))}" if peers else "nobody"
            return f"from layer {begin:g} to {end:g} node {node} reaches {reach}"
        case BadLines(begin, end, loss, doubled, held, hold):
            return (
                f"from layer {begin:g} to {end:g} lines lose {loss:.0%} of messages, double {doubled:.0%}, and hold "
                f"{held:.0%} back for up to {hold:g} s"
            )
        case Skew(node, offset, drift):
            return f"the clock of node {node} is {offset:+g} s off and drifts by {drift:+d} millionths"
        case CrashOf(at, node, how, downtime, write):
            where = f" in write {write}" if write else ""
            return f"node {node} crashes in layer {at:g}{where} ({how}), and is back after {downtime:g} s"
        case Cheat(node, role):
            return f"node {node} is dishonest: {role}"


def _head(outcome: Outcome) -> str:
    scenario = outcome.scenario
    if outcome.holds:
        verdict = '<p class="good">All invariants held.</p>'
    else:
        listed = "".join(f"<li>{escape(str(one))}</li>" for one in outcome.violations[:20])
        verdict = f'<p class="bad">Violated in layer {outcome.layer}:</p><ul class="bad">{listed}</ul>'
    events = "".join(f"<li>{escape(describe(event))}</li>" for event in scenario.events) or "<li>nothing</li>"
    facts = {
        "nodes": str(scenario.nodes),
        "layers": f"{outcome.layer} of {scenario.layers}, in epochs of {scenario.layers_per_epoch}",
        "gossip": f"relayed over {scenario.degree} neighbours" if scenario.degree else "direct",
        "mode": scenario.mode,
        "turns": f"{outcome.turns:,}",
        "messages handed to machines": f"{outcome.messages:,}",
        "fingerprint": outcome.digest,
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return f"{verdict}<dl>{listed}</dl><h2>What goes wrong</h2><ul>{events}</ul>"


def _topics(layers: Sequence[LayerRecord]) -> list[str]:
    total: Counter[str] = Counter()
    for one in layers:
        total += one.bytes
    return [topic for topic, _ in total.most_common()]


def _table(layers: Sequence[LayerRecord]) -> str:
    names = (
        "layer", "proposers", "hare agreed on", "iteration", "block", "transactions", "valid at", "margin",
        "state root", "frontier", "messages", "bytes",
    )  # fmt: skip
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(f"<tr>{''.join(_cells(one))}</tr>" for one in layers)
    return f'<div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cells(one: LayerRecord) -> list[str]:
    agreed = ", ".join(f"{count} × {nodes} nodes" for count, nodes in sorted(one.agreed.items()))
    if one.without:
        agreed += f"{', ' if agreed else ''}nothing at {one.without}"
    root = f"{one.root}{f' (and {one.roots - 1} others)' if one.roots > 1 else ''}"
    margin = "" if one.margin is None else f"{one.margin:.2f}"
    proposers = ", ".join(map(str, sorted(one.proposers)))
    values = (
        str(one.layer), proposers if len(one.proposers) <= 12 else f"{len(one.proposers)} nodes", agreed,
        str(one.iterations or ""), one.block, str(one.transactions or ""), one.valid, margin, root,
        f"{one.verified[0]}–{one.verified[2]}", short(sum(one.messages.values())), short(sum(one.bytes.values())),
    )  # fmt: skip
    return [f"<td>{escape(value)}</td>" for value in values]
